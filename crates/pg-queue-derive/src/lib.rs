//! The derive macros of pg-queue: `#[derive(Job)]` and `#[derive(Request)]`. Depend on `pg-queue`, which exports them.
//!
//! In four phases: `attr` reads the tokens, `ast` holds what was read and what it means, `valid` judges it, `expand`
//! writes the code. What several keys say together is judged and written in a file of its own, `unique` and `cron`.
//! `request` has the same phases for the second one, which takes less, and shares their rules. Mistakes are gathered in `errors` and reported together.
#![forbid(unsafe_code)]

mod ast;
mod attr;
mod backoff;
mod call;
mod case;
mod conflict;
mod cron;
mod duration;
mod errors;
mod expand;
mod key;
mod request;
mod rules;
mod unique;
mod valid;
mod value;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

// The text is a file of its own, so that the facade compiles its examples: a dev-dependency of this crate on the library
// would build all of it a second time, for the host.
#[doc = include_str!("job.md")]
#[proc_macro_derive(Job, attributes(job))]
pub fn derive_job(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::derive(&input).into()
}

#[doc = include_str!("request.md")]
#[proc_macro_derive(Request, attributes(request))]
pub fn derive_request(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    request::derive(&input).into()
}
