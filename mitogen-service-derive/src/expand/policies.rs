//! What asks the policies of a method.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ExprCall, ExprReference, Ident, Token};

use super::closure::retyped;
use super::{at, name_of, site};
use crate::parse::closure::closure;
use crate::parse::policy::is_any_of;

/// Whether all agree with the caller `__caller` of the service `__service`.
pub(super) fn all(policies: &[Expr], private: &TokenStream) -> TokenStream {
    let each = policies.iter().map(|policy| match (policy, closure(policy)) {
        (_, Some(closure)) => passed(closure, retyped(closure), "__allows"),
        (Expr::Call(call), _) if is_any_of(call) => passed(call, any_of(call, private), "__any_allows"),
        _ => {
            let asked = asked(policy, "allows", private);
            quote_spanned!(site()=> #asked(__caller))
        }
    });
    quote_spanned!(site()=> #(#each)&&*)
}

/// A question to a policy; what is none is reported at its name.
fn asked(policy: &Expr, question: &str, private: &TokenStream) -> TokenStream {
    let and_token = Token![&](at(policy.span()));
    // Puts parentheses around what needs them.
    let reference = ExprReference { attrs: Vec::new(), and_token, mutability: None, expr: Box::new(policy.clone()) };
    let question = Ident::new(question, at(name_of(policy)));
    quote_spanned!(site()=> #private::Asked(__service, #reference).#question)
}

/// Passes a policy to a function, which tells a closure what it is given and what it returns.
fn passed(written: &impl ToTokens, policy: TokenStream, function: &str) -> TokenStream {
    let place = at(written.span());
    let function = Ident::new(function, place);
    quote_spanned!(place=> #function(__service, __caller, #policy))
}

/// `AnyOf((..))`, each policy of which is looked at by itself.
fn any_of(call: &ExprCall, private: &TokenStream) -> TokenStream {
    let Some(Expr::Tuple(tuple)) = call.args.first() else { return call.to_token_stream() };
    let func = &call.func;
    let members = tuple.elems.iter().map(|policy| match closure(policy) {
        Some(closure) => {
            let closure = retyped(closure);
            quote_spanned!(at(policy.span())=> __member(__service, #closure))
        }
        None => {
            let asked = asked(policy, "member", private);
            quote_spanned!(site()=> #asked())
        }
    });
    quote_spanned!(at(call.span())=> #func((#(#members,)*)))
}
