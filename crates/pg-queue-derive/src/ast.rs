//! What the phases hand to each other: the payload as it was written, and the policy as it was understood.

use std::time::Duration;
use syn::{Data, DeriveInput, Generics, Ident, Path};

use crate::{attr::Attrs, backoff::Backoff, cron::Cron, errors::Errors, unique::Unique};

/// The struct under `#[derive(Job)]`, read but not judged.
pub(crate) struct Payload<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) generics: &'a Generics,
    pub(crate) data: &'a Data,
    pub(crate) deprecated: bool,
    pub(crate) attrs: Attrs,
}

impl<'a> Payload<'a> {
    pub(crate) fn parse(input: &'a DeriveInput, errors: &mut Errors) -> Self {
        Self {
            ident: &input.ident,
            generics: &input.generics,
            data: &input.data,
            deprecated: input.attrs.iter().any(|attr| attr.path().is_ident("deprecated")),
            attrs: Attrs::parse(&input.attrs, errors),
        }
    }
}

/// What to write. `None` leaves it to the trait's default, so that each default lives in one place.
pub(crate) struct Policy {
    pub(crate) kind: String,
    pub(crate) aliases: Option<Vec<String>>,
    pub(crate) queue: Option<String>,
    pub(crate) priority: Option<u8>,
    pub(crate) max_attempts: Option<u16>,
    pub(crate) timeout: Option<Timeout>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) keep: Option<Duration>,
    pub(crate) unique: Option<Unique>,
    pub(crate) cron: Option<Cron>,
}

/// `timeout = ".."`.
#[derive(Clone, Copy)]
pub(crate) enum Timeout {
    Unlimited,
    After(Duration),
}

/// The crate whose items the generated code names.
pub(crate) enum Root {
    /// `::pg_queue`.
    Default,
    /// `crate = ".."`.
    Given(Path),
    /// There is a `crate` key, but no path in it: whatever we would write could not be resolved.
    Broken,
}
