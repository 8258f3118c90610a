//! The parameters of an exposed method: what comes from the caller and what the dispatcher gives.

use proc_macro2::Span;
use quote::{ToTokens, format_ident};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{FnArg, Ident, LitStr, Pat, PatType, Path, Signature, Type, TypeReference};

use super::attributes::{self, ArgAttribute, ArgSpec, Default};
use super::method::OfService;
use super::{generics, injected, misspelt, types, unfit};
use crate::errors::{Errors, text};
use crate::model::{Answer, Argument, Form, Parameter, Presence, Provided, StubArgument};

/// What the parameters of one method come to.
#[derive(Default)]
pub(super) struct Parameters {
    /// All that could be understood, in order.
    pub(super) all: Vec<Parameter>,
    /// What a caller passes, also where it was written wrong.
    pub(super) stub: Vec<StubArgument>,
    /// What the `Reply` takes, if there is one.
    pub(super) reply: Option<Answer>,
    /// Another type stands in the signature now, so that the body cannot be the user's any more.
    pub(super) is_changed: bool,
}

/// Reads the parameters and takes our attributes off them.
pub(super) fn read(sig: &mut Signature, service: &OfService<'_>, errors: &Errors) -> Parameters {
    let mut reader = Reader {
        // Where the method names lifetimes, that is the one mistake to report.
        lifetimes_are_reported: !sig.generics.params.is_empty(),
        service,
        errors,
        read: Parameters::default(),
    };
    for input in &mut sig.inputs {
        if let FnArg::Typed(typed) = input {
            reader.parameter(typed);
        }
    }
    reader.read
}

/// Takes our attributes off the parameters of a method that is not exposed.
pub(super) fn strip(sig: &mut Signature, errors: &Errors) {
    for input in &mut sig.inputs {
        if let FnArg::Typed(typed) = input {
            for attribute in attributes::take(&mut typed.attrs, crate::words::ARG) {
                errors.at(attribute.path(), text::not_exposed(crate::words::ARG));
            }
        }
    }
}

/// Adds the checks of `#[arg_spec]` to the arguments they name.
pub(super) fn add_checks(specs: Vec<ArgSpec>, method: &str, parameters: &mut Parameters, errors: &Errors) {
    for spec in specs {
        let typed = spec.argument.unraw().to_string();
        match find(&typed, parameters) {
            Some(argument) => argument.checks.extend(spec.checks),
            None => {
                let known: Vec<String> = parameters.stub.iter().map(|a| a.ident.unraw().to_string()).collect();
                // A known name without an argument is one whose own mistake is reported already.
                if !known.contains(&typed) {
                    let known: Vec<&str> = known.iter().map(String::as_str).collect();
                    errors.at(&spec.argument, text::unknown_argument(&typed, method, &known));
                }
            }
        }
    }
}

fn find<'a>(name: &str, parameters: &'a mut Parameters) -> Option<&'a mut Argument> {
    parameters.all.iter_mut().find_map(|parameter| match parameter {
        Parameter::Argument(argument) if argument.ident.unraw() == name => Some(&mut **argument),
        _ => None,
    })
}

struct Reader<'a> {
    lifetimes_are_reported: bool,
    service: &'a OfService<'a>,
    errors: &'a Errors,
    read: Parameters,
}

impl Reader<'_> {
    fn parameter(&mut self, typed: &mut PatType) {
        misspelt::of_parameter(&mut typed.attrs, self.errors);
        self.unconditional(typed);
        let attribute = attributes::of_parameter(&mut typed.attrs, self.errors);
        if let Some(mut found) = injected::find(&typed.ty, self.service, self.errors) {
            if let Some(attribute) = attribute {
                self.errors.at_span(attribute.span, text::attribute_on_injected(found.name));
            }
            if let Some(instead) = found.instead.take() {
                *typed.ty = instead;
                self.read.is_changed = true;
            }
            self.add_injected(found, &typed.ty);
        } else {
            self.argument(typed, attribute);
        }
    }

    /// Reports a parameter that is not always there, and lets it be there for the compiler.
    fn unconditional(&self, typed: &mut PatType) {
        let is_cfg = |path: &Path| path.is_ident("cfg");
        typed.attrs.retain(|attribute| {
            let added = misspelt::conditional(&attribute.meta);
            let guilty = is_cfg(attribute.path()) || added.iter().any(|meta| is_cfg(meta.path()));
            if guilty {
                self.errors.at(attribute.path(), text::CFG_ON_PARAMETER);
            }
            !guilty
        });
    }

    fn add_injected(&mut self, found: injected::Found, ty: &Type) {
        let injected = found.injected;
        let again = self
            .read
            .all
            .iter()
            .any(|parameter| matches!(parameter, Parameter::Injected(other) if other.what == injected));
        if again {
            self.errors.at(ty, text::injected_twice(found.name));
        }
        if found.reply.is_some() {
            self.read.reply = found.reply;
        }
        let target = match types::peel(ty) {
            Type::Reference(reference) => &*reference.elem,
            other => other,
        };
        let place = types::last_segment(target).map_or_else(|| ty.span(), |last| last.ident.span());
        let guessed = found.is_guessed.then(|| types::without_self(target, self.service.self_type));
        self.read.all.push(Parameter::Injected(Box::new(Provided { what: injected, place, guessed })));
    }

    fn argument(&mut self, typed: &mut PatType, attribute: Option<ArgAttribute>) {
        let ident = self.ident(&typed.pat);
        let form = match unfit::argument(&typed.ty) {
            Some(unfit) => {
                self.errors.at(&typed.ty, unfit.text);
                *typed.ty = unfit.instead;
                self.read.is_changed = true;
                None
            }
            None => self.form(&typed.ty),
        };
        let ty = types::without_self(&typed.ty, self.service.self_type);
        let position = self.read.stub.len();
        self.read.stub.push(StubArgument {
            ident: ident.clone().unwrap_or_else(|| format_ident!("argument_{position}")),
            ty: ty.clone(),
        });
        let (Some(ident), Some(form)) = (ident, form) else {
            return;
        };
        let is_option = types::is_option(&ty);
        let is_generic = generics::mentions(ty.to_token_stream(), self.service.params);
        let wire_name = self.wire_name(&ident, attribute.as_ref());
        let presence = self.presence(is_option, attribute);
        self.read.all.push(Parameter::Argument(Box::new(Argument {
            wire_name,
            ident,
            ty,
            form,
            is_generic,
            is_option,
            presence,
            checks: Vec::new(),
        })));
    }

    /// The name by which an argument travels, which no other one may have.
    fn wire_name(&self, ident: &Ident, attribute: Option<&ArgAttribute>) -> String {
        let rename = attribute.and_then(|attribute| attribute.rename.as_ref());
        let name = rename.map_or_else(|| ident.unraw().to_string(), LitStr::value);
        let taken = self.read.all.iter().any(|parameter| match parameter {
            // Two of the same name in the source are an error to the compiler already.
            Parameter::Argument(other) => other.wire_name == name && other.ident != *ident,
            Parameter::Injected(_) => false,
        });
        if taken {
            let place = rename.map_or_else(|| ident.span(), LitStr::span);
            self.errors.at_span(place, text::same_argument_name(&name));
        }
        name
    }

    fn ident(&self, pat: &Pat) -> Option<Ident> {
        match pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Some(pat.ident.clone()),
            other => {
                self.errors.at(other, text::PATTERN);
                None
            }
        }
    }

    fn form(&self, ty: &Type) -> Option<Form> {
        if let Some(word) = types::first_impl(ty.to_token_stream()) {
            self.errors.at(word, text::IMPL_ARGUMENT);
            return None;
        }
        let target = match types::peel(ty) {
            Type::Reference(reference) => &*reference.elem,
            other => other,
        };
        if types::is_plain(target, "ServiceScope") {
            self.errors.at(ty, text::SCOPE_ARGUMENT);
            return None;
        }
        if let Type::Reference(reference) = types::peel(ty) {
            return self.borrowed_form(reference);
        }
        if let Some(borrow) = types::first_reference(ty.to_token_stream())
            && !types::is_option_of_str(ty)
        {
            self.errors.at(borrow, text::INNER_BORROW);
            return None;
        }
        if let Some((option, text)) = types::lost_option(ty) {
            self.errors.at(option, text);
            return None;
        }
        Some(types::owned_form(ty))
    }

    fn borrowed_form(&self, reference: &TypeReference) -> Option<Form> {
        if reference.mutability.is_some() {
            self.errors.at(reference.mutability, text::MUTABLE_BORROW);
            return None;
        }
        if let Some(lifetime) = &reference.lifetime
            && !self.lifetimes_are_reported
            && lifetime.ident != "_"
        {
            self.errors.at(lifetime, text::NAMED_LIFETIME);
        }
        let form = types::borrowed_form(reference);
        if form.is_none() {
            match unfit::behind_reference(&reference.elem) {
                Some(text) => self.errors.at(reference, text),
                None => self.errors.at(reference, text::borrow(&types::instead_of_borrow(reference))),
            }
        }
        form
    }

    fn presence(&self, is_option: bool, attribute: Option<ArgAttribute>) -> Presence {
        match attribute.and_then(|attribute| Some((attribute.span, attribute.default?))) {
            Some((span, Default::OfType)) => self.default_of_type(is_option, span),
            Some((_, Default::Expr(expr))) => Presence::DefaultExpr(expr),
            None if is_option => Presence::Optional,
            None => Presence::Required,
        }
    }

    fn default_of_type(&self, is_option: bool, span: Span) -> Presence {
        if is_option {
            self.errors.at_span(span, text::OPTION_DEFAULT);
        }
        Presence::Default
    }
}
