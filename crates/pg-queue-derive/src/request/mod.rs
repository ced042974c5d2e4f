//! `#[derive(Request)]`.

mod attr;
mod key;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Data, DeriveInput, ext::IdentExt};

use self::{attr::Attrs, key::Key};
use crate::{
    ast::Root,
    errors::Errors,
    expand::duration,
    rules::{above_zero, in_range},
    valid,
};

/// The column is a `smallint`.
const MAX_MAX_ATTEMPTS: u16 = 32767;

/// The implementation of `Request`, or one `compile_error!` for each mistake.
pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let attrs = Attrs::parse(&input.attrs, &mut errors);
    shape(input, &attrs, &mut errors);
    let root = valid::root(attrs.root.as_ref(), attrs.is_written(Key::Crate), &mut errors);
    let items = items(input, &attrs, &root, &mut errors);
    match errors.into_compile_errors() {
        None => implementation(input, &root, &items),
        Some(errors) => {
            let fallback = fallback(input, &root);
            quote!(#errors #fallback)
        }
    }
}

/// A request is a struct without generics, `#[request(..)]` stands on it, and it has a response.
fn shape(input: &DeriveInput, attrs: &Attrs, errors: &mut Errors) {
    let name = input.ident.unraw();
    match &input.data {
        Data::Struct(data) => {
            for attribute in data.fields.iter().flat_map(|field| &field.attrs) {
                if attribute.path().is_ident("request") {
                    // It would be ignored silently.
                    errors.at(attribute, "`#[request(..)]` belongs on the struct, not on a field");
                }
            }
        }
        Data::Enum(data) => errors.at(
            data.enum_token,
            format_args!("a request is a struct and `{name}` is an enum: make it a field of a struct"),
        ),
        Data::Union(data) => errors.at(data.union_token, format_args!("a request is a struct and `{name}` is a union")),
    }
    if !input.generics.params.is_empty() {
        errors.at(
            &input.generics,
            format_args!("`{name}` cannot be generic: a request is read by its kind alone, which names one type"),
        );
    }
    if !attrs.is_written(Key::Response) {
        errors.at(
            &input.ident,
            format_args!("`{name}` has no response: name its type, such as `#[request(response = User)]`"),
        );
    }
}

/// What was given, judged. Names are written in full, since the user may have a `Some` or a `str` of their own.
fn items(input: &DeriveInput, attrs: &Attrs, root: &Root, errors: &mut Errors) -> TokenStream {
    let kind = valid::kind_of(&input.ident, attrs.kind.as_ref(), attrs.is_written(Key::Kind), errors);
    let aliases = valid::aliases(attrs.aliases.as_ref(), kind.as_deref(), errors).map(|aliases| {
        quote! {
            const ALIASES: &'static [&'static ::core::primitive::str] = &[#(#aliases),*];
        }
    });
    let queue = attrs.queue.as_ref().and_then(|literal| valid::queue(literal, errors)).map(|queue| {
        quote! {
            const QUEUE: &'static ::core::primitive::str = #queue;
        }
    });
    let zero = "a timeout of zero would end every call at once: give a longer one, or leave `timeout` out";
    let timeout = attrs.timeout.as_ref().and_then(|literal| above_zero(literal, zero, errors)).map(|timeout| {
        let timeout = duration(timeout);
        quote! {
            const TIMEOUT: ::core::time::Duration = #timeout;
        }
    });
    let range = |literal| in_range(Key::MaxAttempts, literal, 1, MAX_MAX_ATTEMPTS, errors);
    let max_attempts = attrs.max_attempts.as_ref().and_then(range).map(|max_attempts| {
        quote! {
            const MAX_ATTEMPTS: ::core::primitive::u16 = #max_attempts;
        }
    });
    let response = &attrs.response;
    let error = attrs.error.as_ref().map_or_else(|| quote!(#root::Failed), |error| quote!(#error));
    quote! {
        const KIND: &'static ::core::primitive::str = #kind;
        #aliases
        #queue
        #timeout
        #max_attempts
        type Response = #response;
        type Error = #error;
    }
}

/// Goes along with the errors, so that one mistake is one error and not also "`Request` is not implemented" at each use.
fn fallback(input: &DeriveInput, root: &Root) -> Option<TokenStream> {
    // For a generic type it would have to repeat bounds that we do not know, and serde has nothing for a union.
    let possible =
        input.generics.params.is_empty() && !matches!(input.data, Data::Union(_)) && !matches!(root, Root::Broken);
    let items = quote! {
        const KIND: &'static ::core::primitive::str = "";
        type Response = ();
        type Error = #root::Failed;
    };
    possible.then(|| implementation(input, root, &items))
}

/// The name keeps the span that it has in the user's code: where a supertrait is missing, `rustc` points there.
fn implementation(input: &DeriveInput, root: &Root, items: &TokenStream) -> TokenStream {
    let mut ident = input.ident.clone();
    if input.attrs.iter().any(|attribute| attribute.path().is_ident("deprecated")) {
        // A name from the user's code would count as a use, and the struct would be warned about by itself.
        ident.set_span(Span::call_site().located_at(ident.span()));
    }
    let bounds = &input.generics.where_clause;
    quote! {
        #[automatically_derived]
        impl #root::Request for #ident #bounds {
            #items
        }
    }
}
