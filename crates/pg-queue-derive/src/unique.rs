//! `unique` and the keys beside it: what makes one job the same as another.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use std::time::Duration;
use syn::{Data, LitStr, Member, ext::IdentExt};

use crate::{
    ast::{Payload, Root},
    attr::Attrs,
    conflict::{self, OnConflict},
    errors::Errors,
    expand::duration,
    key::Key,
    rules::{above_zero, read, says_nothing_without, word},
    value::TextOr,
};

/// serde has no longer tuples, and the key is one.
const MAX_FIELDS: usize = 16;

/// What the method `unique` will answer. `None` leaves what it says to the default of `pg_queue::Unique`.
pub(crate) struct Unique {
    by: By,
    scope: Option<Scope>,
    until: Option<Until>,
    on_conflict: Option<OnConflict>,
}

enum By {
    Payload,
    /// With where the key was written.
    Fields(Vec<Member>, Span),
}

#[derive(Clone, Copy)]
enum Scope {
    Kind,
    Queue,
}

#[derive(Clone, Copy)]
enum Until {
    Finished,
    Started,
    Elapsed(Duration),
}

/// Judges all keys that are about uniqueness.
pub(crate) fn valid(payload: &Payload<'_>, errors: &mut Errors) -> Option<Unique> {
    let attrs = &payload.attrs;
    for key in [Key::UniqueScope, Key::UniqueUntil, Key::UniqueWithin, Key::OnConflict] {
        says_nothing_without(attrs, key, Key::Unique, errors);
    }
    let scopes = [("kind", Scope::Kind), ("queue", Scope::Queue)];
    let scope = attrs.unique_scope.as_ref().and_then(|literal| word(Key::UniqueScope, literal, scopes, errors));
    let until = until(attrs, errors);
    let on_conflict = attrs.on_conflict.as_ref().and_then(|literal| read(literal, conflict::parse, errors));
    let by = match attrs.unique.as_ref()? {
        TextOr::Text(literal) => word(Key::Unique, literal, [("payload", ())], errors).map(|()| By::Payload)?,
        TextOr::Other(names) => {
            let place = attrs.written(Key::Unique).map_or_else(Span::call_site, Ident::span);
            By::Fields(fields(payload, names, errors), place)
        }
    };
    Some(Unique { by, scope, until, on_conflict })
}

fn until(attrs: &Attrs, errors: &mut Errors) -> Option<Until> {
    if let (Some(within), Some(_)) = (attrs.written(Key::UniqueWithin), attrs.written(Key::UniqueUntil)) {
        errors
            .at(within, "`unique_within` and `unique_until` both say how long a unique key is held: give one of them");
    }
    let until = attrs.unique_until.as_ref().and_then(|literal| {
        word(Key::UniqueUntil, literal, [("finished", Until::Finished), ("started", Until::Started)], errors)
    });
    let within = attrs.unique_within.as_ref().and_then(|literal| {
        above_zero(literal, "a unique key that is held for no time holds nothing: give a longer one", errors)
    });
    within.map(Until::Elapsed).or(until)
}

fn fields(payload: &Payload<'_>, names: &[LitStr], errors: &mut Errors) -> Vec<Member> {
    // What is no struct has been reported, and has no fields.
    let Data::Struct(data) = payload.data else { return Vec::new() };
    let known: Vec<(String, Member)> = data.fields.members().map(|member| (name(&member), member)).collect();
    let mut fields: Vec<Member> = Vec::new();
    for literal in names {
        let name = literal.value();
        match known.iter().find(|(known, _)| *known == name) {
            None => errors.at(literal, no_field(payload, &name, &known)),
            Some((_, member)) if fields.contains(member) => {
                errors.at(literal, format_args!("the field \"{name}\" is given more than once"));
            }
            Some(_) if fields.len() == MAX_FIELDS => errors.at(
                literal,
                format_args!(
                    "a unique key has at most {MAX_FIELDS} fields: write `unique = \"payload\"` for all of them"
                ),
            ),
            Some((_, member)) => fields.push(member.clone()),
        }
    }
    fields
}

/// What a field is called in the list.
fn name(member: &Member) -> String {
    match member {
        Member::Named(ident) => ident.unraw().to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    }
}

fn no_field(payload: &Payload<'_>, name: &str, known: &[(String, Member)]) -> String {
    let known: Vec<String> = known.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let there_are = match &known[..] {
        [] => "it has none; write `unique = \"payload\"`".to_owned(),
        [only] => format!("its only field is {only}"),
        [first @ .., last] => format!("its fields are {} and {last}", first.join(", ")),
    };
    format!("`{}` has no field \"{}\": {there_are}", payload.ident.unraw(), name.escape_debug())
}

impl Unique {
    /// The method of `Job`.
    pub(crate) fn method(&self, root: &Root) -> TokenStream {
        let value = match &self.by {
            By::Payload => quote!(self),
            By::Fields(fields, place) => values(fields, *place),
        };
        let scope = self.scope.map(|scope| match scope {
            Scope::Kind => quote!(.scope(#root::UniqueScope::Kind)),
            Scope::Queue => quote!(.scope(#root::UniqueScope::Queue)),
        });
        let until = self.until.map(|until| match until {
            Until::Finished => quote!(.until(#root::UniqueUntil::Finished)),
            Until::Started => quote!(.until(#root::UniqueUntil::Started)),
            Until::Elapsed(time) => {
                let time = duration(time);
                quote!(.until(#root::UniqueUntil::Elapsed(#time)))
            }
        });
        let on_conflict = self.on_conflict.map(|on_conflict| match on_conflict {
            OnConflict::Keep => quote!(.on_conflict(#root::OnConflict::Keep)),
            OnConflict::Replace => quote!(.on_conflict(#root::OnConflict::Replace)),
            OnConflict::Debounce { delay, max } => {
                let (delay, max) = (duration(delay), duration(max));
                quote!(.on_conflict(#root::OnConflict::Debounce { delay: #delay, max: #max }))
            }
        });
        quote! {
            fn unique(&self) -> ::core::result::Result<::core::option::Option<#root::Unique>, #root::PushError> {
                ::core::result::Result::Ok(::core::option::Option::Some(
                    #root::Unique::of(#value)? #scope #until #on_conflict
                ))
            }
        }
    }
}

/// The fields' values as a tuple. It shows where the key was written: there `rustc` says that a field does not serialize.
/// And yet it counts as generated, so that a deprecated field is not a use of itself.
fn values(fields: &[Member], place: Span) -> TokenStream {
    let span = Span::call_site().located_at(place);
    let fields = fields.iter().cloned().map(|mut field| {
        match &mut field {
            Member::Named(ident) => ident.set_span(span),
            Member::Unnamed(index) => index.span = span,
        }
        field
    });
    quote_spanned!(span=> &(#(&self.#fields,)*))
}
