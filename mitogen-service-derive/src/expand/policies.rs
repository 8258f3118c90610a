//! What asks the policies of a method.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ExprReference, Ident, Token};

use super::{at, name_of, placed, site};
use crate::parse::policy::{closure, is_any_of};

/// Whether all agree with the caller `__caller` of the service `__service`.
pub(super) fn all(policies: &[Expr], private: &TokenStream) -> TokenStream {
    let each = policies.iter().map(|policy| match (policy, closure(policy)) {
        // A closure learns from the function it is passed to what it is given and what it returns.
        (_, Some(closure)) => passed(closure, &quote!(allows), private),
        // Of a tuple the compiler finds the one that is no policy.
        (Expr::Call(call), _) if is_any_of(call) => passed(call, &quote!(any_allows), private),
        _ => asked(policy, private),
    });
    quote_spanned!(site()=> #(#each)&&*)
}

/// What is no policy is reported at its name.
fn asked(policy: &Expr, private: &TokenStream) -> TokenStream {
    let and_token = Token![&](at(policy.span()));
    // Puts parentheses around what needs them.
    let reference = ExprReference { attrs: Vec::new(), and_token, mutability: None, expr: Box::new(policy.clone()) };
    let allows = Ident::new("allows", at(name_of(policy)));
    quote_spanned!(site()=> #private::Asked(__service, #reference).#allows(__caller))
}

/// What is no policy is reported where the compiler finds it.
fn passed(policy: &impl ToTokens, function: &TokenStream, private: &TokenStream) -> TokenStream {
    let place = at(policy.span());
    let function = placed(&quote!(#private::#function), place);
    quote_spanned!(place=> #function(__service, __caller, #policy))
}
