//! The code that is written.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use std::time::Duration;
use syn::DeriveInput;

use crate::{
    ast::{Payload, Policy, Root, Timeout},
    backoff::{Backoff, Formula},
    errors::Errors,
    key::Key,
    valid,
};

/// The implementation of `Job`, or one `compile_error!` for each mistake.
pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let payload = Payload::parse(input, &mut errors);
    let policy = valid::policy(&payload, &mut errors);
    let written = payload.attrs.written(Key::Crate).is_some();
    let root = valid::root(payload.attrs.root.as_ref(), written, &mut errors);
    match errors.into_compile_errors() {
        None => implementation(&payload, &root, &items(&payload, &root, &policy)),
        Some(errors) => {
            let fallback = fallback(&payload, &root);
            quote!(#errors #fallback)
        }
    }
}

/// Goes along with the errors, so that one mistake is one error and not also "`Job` is not implemented" at each use.
fn fallback(payload: &Payload<'_>, root: &Root) -> Option<TokenStream> {
    let possible = valid::can_fall_back(payload) && !matches!(root, Root::Broken);
    let kind = quote! {
        const KIND: &'static ::core::primitive::str = "";
    };
    possible.then(|| implementation(payload, root, &kind))
}

/// The name keeps the span it has in the user's code: where a supertrait is missing, `rustc` points there, and says
/// with the words of serde what to derive.
fn implementation(payload: &Payload<'_>, root: &Root, items: &TokenStream) -> TokenStream {
    let mut ident = payload.ident.clone();
    if payload.deprecated {
        // A name from the user's code would count as a use, and the struct would be warned about by itself.
        ident.set_span(Span::call_site().located_at(ident.span()));
    }
    let bounds = &payload.generics.where_clause;
    quote! {
        #[automatically_derived]
        impl #root::Job for #ident #bounds {
            #items
        }
    }
}

/// What was given. Names are written in full, since the user may have a `Some` or a `str` of their own.
fn items(payload: &Payload<'_>, root: &Root, policy: &Policy) -> TokenStream {
    let kind = &policy.kind;
    let aliases = policy.aliases.as_ref().map(|aliases| {
        quote! {
            const ALIASES: &'static [&'static ::core::primitive::str] = &[#(#aliases),*];
        }
    });
    let queue = policy.queue.as_ref().map(|queue| {
        quote! {
            const QUEUE: &'static ::core::primitive::str = #queue;
        }
    });
    let priority = policy.priority.map(|priority| {
        // The number has been checked; should the crate ever allow fewer, this is an error at compile time.
        quote! {
            const PRIORITY: #root::Priority = match #root::Priority::new(#priority) {
                ::core::result::Result::Ok(__priority) => __priority,
                ::core::result::Result::Err(_) => ::core::panic!("the priority is out of range"),
            };
        }
    });
    let max_attempts = policy.max_attempts.map(|max_attempts| {
        quote! {
            const MAX_ATTEMPTS: ::core::primitive::u16 = #max_attempts;
        }
    });
    let timeout = policy.timeout.map(|timeout| {
        let timeout = match timeout {
            Timeout::Unlimited => quote!(::core::option::Option::None),
            Timeout::After(limit) => {
                let limit = duration(limit);
                quote!(::core::option::Option::Some(#limit))
            }
        };
        quote! {
            const TIMEOUT: ::core::option::Option<::core::time::Duration> = #timeout;
        }
    });
    let backoff = policy.backoff.as_ref().map(|backoff| {
        let backoff = match backoff {
            Backoff::Formula(formula) => self::formula(root, *formula),
            Backoff::Function(path) => quote!(#root::Backoff::Function(#path)),
        };
        quote! {
            const BACKOFF: #root::Backoff = #backoff;
        }
    });
    let keep = policy.keep.map(|keep| {
        let keep = duration(keep);
        quote! {
            const KEEP: ::core::option::Option<::core::time::Duration> = ::core::option::Option::Some(#keep);
        }
    });
    let cron = policy.cron.as_ref().map(|cron| cron.items(root, payload.ident.span()));
    let unique = policy.unique.as_ref().map(|unique| unique.method(root));
    quote! {
        const KIND: &'static ::core::primitive::str = #kind;
        #aliases
        #queue
        #priority
        #max_attempts
        #timeout
        #backoff
        #keep
        #unique
        #cron
    }
}

fn formula(root: &Root, formula: Formula) -> TokenStream {
    match formula {
        Formula::Constant(delay) => {
            let delay = duration(delay);
            quote!(#root::Backoff::Constant(#delay))
        }
        Formula::Linear { base, max } => {
            let (base, max) = (duration(base), duration(max));
            quote!(#root::Backoff::Linear { base: #base, max: #max })
        }
        Formula::Exponential { base, max } => {
            let (base, max) = (duration(base), duration(max));
            quote!(#root::Backoff::Exponential { base: #base, max: #max })
        }
    }
}

pub(crate) fn duration(duration: Duration) -> TokenStream {
    let millis = u64::try_from(duration.as_millis()).expect("it was read as a u64 of milliseconds");
    quote!(::core::time::Duration::from_millis(#millis))
}

impl ToTokens for Root {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Default | Self::Broken => tokens.extend(quote!(::pg_queue)),
            Self::Given(path) => path.to_tokens(tokens),
        }
    }
}
