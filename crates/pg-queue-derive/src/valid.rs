//! The rules. Each function judges one key and points at the value that breaks the rule.

use proc_macro2::Span;
use syn::{Data, ExprPath, Ident, LitStr, ext::IdentExt, spanned::Spanned};

use crate::{
    ast::{Payload, Policy, Root, Timeout},
    attr::Attrs,
    backoff::{self, Backoff},
    case::snake_case,
    cron,
    errors::Errors,
    key::Key,
    rules::{above_zero, in_range, read},
    unique,
    value::TextOr,
};

/// Kinds are indexed and written into every log line; a longer one is a mistake.
const MAX_KIND_BYTES: usize = 100;

/// PostgreSQL cuts identifiers at 63 bytes; this leaves room for the prefix and suffix of what is named after a queue.
const MAX_QUEUE_BYTES: usize = 48;

const MAX_PRIORITY: u8 = 9;

/// The column is a `smallint`.
const MAX_MAX_ATTEMPTS: u16 = 32767;

/// Checks everything. The result is only good if there were no errors.
pub(crate) fn policy(payload: &Payload<'_>, errors: &mut Errors) -> Policy {
    shape(payload, errors);
    let Attrs { priority, max_attempts, queue, timeout, backoff, keep, .. } = &payload.attrs;
    let kind = kind(payload, errors);
    Policy {
        aliases: aliases(payload.attrs.aliases.as_ref(), kind.as_deref(), errors),
        kind: kind.unwrap_or_default(),
        queue: queue.as_ref().and_then(|literal| self::queue(literal, errors)),
        priority: priority.as_ref().and_then(|literal| in_range(Key::Priority, literal, 0, MAX_PRIORITY, errors)),
        max_attempts: max_attempts
            .as_ref()
            .and_then(|literal| in_range(Key::MaxAttempts, literal, 1, MAX_MAX_ATTEMPTS, errors)),
        timeout: timeout.as_ref().and_then(|literal| self::timeout(literal, errors)),
        backoff: backoff.as_ref().and_then(|value| self::backoff(value, errors)),
        keep: keep.as_ref().and_then(|literal| {
            above_zero(literal, "a keep of zero keeps no completed job: give a longer one, or leave `keep` out", errors)
        }),
        unique: unique::valid(payload, errors),
        cron: cron::valid(payload, errors),
    }
}

/// A job is a struct without generics, and `#[job(..)]` stands on it.
fn shape(payload: &Payload<'_>, errors: &mut Errors) {
    let name = payload.ident.unraw();
    match payload.data {
        Data::Struct(data) => {
            for attribute in data.fields.iter().flat_map(|field| &field.attrs) {
                if attribute.path().is_ident("job") {
                    // It would be ignored silently.
                    errors.at(attribute, "`#[job(..)]` belongs on the struct, not on a field");
                }
            }
        }
        Data::Enum(data) => errors.at(
            data.enum_token,
            format_args!("a job is a struct and `{name}` is an enum: make it a field of a struct"),
        ),
        Data::Union(data) => errors.at(data.union_token, format_args!("a job is a struct and `{name}` is a union")),
    }
    if !payload.generics.params.is_empty() {
        errors.at(
            payload.generics,
            format_args!("`{name}` cannot be generic: a job is read back by its kind alone, which names one type"),
        );
    }
}

/// `None` if it was written badly, which has been reported then.
fn kind(payload: &Payload<'_>, errors: &mut Errors) -> Option<String> {
    kind_of(payload.ident, payload.attrs.kind.as_ref(), payload.attrs.written(Key::Kind).is_some(), errors)
}

/// The kind that was given, or the one that the struct's name makes.
pub(crate) fn kind_of(name: &Ident, given: Option<&LitStr>, written: bool, errors: &mut Errors) -> Option<String> {
    if let Some(literal) = given {
        let kind = literal.value();
        return match check_kind(&kind) {
            Ok(()) => Some(kind),
            Err(why) => {
                errors.at(literal, why);
                None
            }
        };
    }
    if written {
        return None;
    }
    let kind = snake_case(&name.unraw().to_string());
    if let Err(why) = check_kind(&kind) {
        errors.at(name, format_args!("{why}; give one with `kind = \"..\"`"));
        return None;
    }
    Some(kind)
}

pub(crate) fn check_kind(kind: &str) -> Result<(), String> {
    if kind.is_empty() {
        return Err(format!("a kind has 1 to {MAX_KIND_BYTES} bytes, this one is empty"));
    }
    if kind.len() > MAX_KIND_BYTES {
        return Err(format!("a kind has 1 to {MAX_KIND_BYTES} bytes, this one has {}", kind.len()));
    }
    match kind.chars().find(|c| c.is_control()) {
        Some(control) => Err(format!("a kind has no control characters, this one has {control:?}")),
        None => Ok(()),
    }
}

pub(crate) fn aliases(given: Option<&Vec<LitStr>>, kind: Option<&str>, errors: &mut Errors) -> Option<Vec<String>> {
    let mut aliases = Vec::new();
    for literal in given? {
        let alias = literal.value();
        if let Err(why) = check_kind(&alias) {
            errors.at(literal, format_args!("an alias is a kind: {why}"));
        } else if kind == Some(&alias) {
            errors.at(literal, format_args!("the alias \"{alias}\" is the kind itself"));
        } else if aliases.contains(&alias) {
            errors.at(literal, format_args!("the alias \"{alias}\" is given more than once"));
        }
        aliases.push(alias);
    }
    Some(aliases)
}

pub(crate) fn queue(literal: &LitStr, errors: &mut Errors) -> Option<String> {
    let queue = literal.value();
    let why = if queue.is_empty() {
        "is empty".to_owned()
    } else if queue.len() > MAX_QUEUE_BYTES {
        format!("has {} bytes", queue.len())
    } else if !queue.starts_with(|c: char| c.is_ascii_lowercase()) {
        "does not start with a letter from a to z".to_owned()
    } else if let Some(bad) = queue.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_')) {
        format!("contains {bad:?}")
    } else {
        return Some(queue);
    };
    errors.at(
        literal,
        format_args!(
            "the queue name \"{}\" {why}: a queue name matches [a-z][a-z0-9_]* and has at most {MAX_QUEUE_BYTES} bytes",
            queue.escape_debug()
        ),
    );
    None
}

fn timeout(literal: &LitStr, errors: &mut Errors) -> Option<Timeout> {
    if literal.value() == "none" {
        return Some(Timeout::Unlimited);
    }
    above_zero(literal, "a timeout of zero would end every attempt at once; write \"none\" for no limit", errors)
        .map(Timeout::After)
}

fn backoff(value: &TextOr<ExprPath>, errors: &mut Errors) -> Option<Backoff> {
    match value {
        TextOr::Text(literal) => read(literal, backoff::parse, errors).map(Backoff::Formula),
        TextOr::Other(path) => Some(Backoff::Function(path.clone())),
    }
}

/// The path that takes the place of `::pg_queue`.
pub(crate) fn root(given: Option<&LitStr>, written: bool, errors: &mut Errors) -> Root {
    let Some(literal) = given else {
        return if written { Root::Broken } else { Root::Default };
    };
    match literal.parse_with(syn::Path::parse_mod_style) {
        Ok(mut path) => {
            // The path shows where it was written, and yet counts as generated: a lint about paths in the user's
            // crate has nothing to say about one that the user cannot shorten.
            for segment in &mut path.segments {
                segment.ident.set_span(Span::call_site().located_at(segment.span()));
            }
            Root::Given(path)
        }
        Err(_) => {
            let text = literal.value();
            errors
                .at(literal, format_args!("\"{}\" is not a path: `crate` {}", text.escape_debug(), Key::Crate.takes()));
            Root::Broken
        }
    }
}

/// Whether an implementation for this payload, however wrong, can compile. One for a generic type would have to
/// repeat bounds we do not know, and serde has nothing for a union.
pub(crate) fn can_fall_back(payload: &Payload<'_>) -> bool {
    payload.generics.params.is_empty() && !matches!(payload.data, Data::Union(_))
}

#[cfg(test)]
mod tests {
    use super::check_kind;

    #[test]
    fn a_kind_is_short_and_printable() {
        assert_eq!(check_kind("send_email"), Ok(()));
        assert_eq!(check_kind("Größe ändern"), Ok(()));
        assert_eq!(check_kind(&"k".repeat(100)), Ok(()));
        for bad in ["", "a\0b", "a\nb", "a\u{7f}b", &"k".repeat(101)] {
            assert!(check_kind(bad).is_err(), "{bad:?}");
        }
    }
}
