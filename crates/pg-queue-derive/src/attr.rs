//! From the tokens of `#[job(..)]` to one value for each key. What the values say is judged in `valid`.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{Attribute, ExprPath, LitInt, LitStr, MacroDelimiter, Meta};

use crate::{
    errors::Errors,
    key::{self, Key},
    value::{TextOr, list, literal, split_at_commas, text_or_list, text_or_path},
};

/// All `#[job(..)]` of one struct, merged.
#[derive(Default)]
pub(crate) struct Attrs {
    /// Every key that was written, with a good value or not, and where.
    written: Vec<(Key, Ident)>,
    pub(crate) kind: Option<LitStr>,
    pub(crate) aliases: Option<Vec<LitStr>>,
    pub(crate) queue: Option<LitStr>,
    pub(crate) priority: Option<LitInt>,
    pub(crate) max_attempts: Option<LitInt>,
    pub(crate) timeout: Option<LitStr>,
    pub(crate) backoff: Option<TextOr<ExprPath>>,
    pub(crate) keep: Option<LitStr>,
    pub(crate) unique: Option<TextOr<Vec<LitStr>>>,
    pub(crate) unique_scope: Option<LitStr>,
    pub(crate) unique_until: Option<LitStr>,
    pub(crate) unique_within: Option<LitStr>,
    pub(crate) on_conflict: Option<LitStr>,
    pub(crate) cron: Option<LitStr>,
    pub(crate) timezone: Option<LitStr>,
    pub(crate) missed: Option<LitStr>,
    pub(crate) root: Option<LitStr>,
}

impl Attrs {
    pub(crate) fn parse(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut attrs = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("job")) {
            match &attribute.meta {
                Meta::List(list) if matches!(list.delimiter, MacroDelimiter::Paren(_)) => {
                    for entry in split_at_commas(list.tokens.clone(), errors) {
                        attrs.entry(&entry, errors);
                    }
                }
                other => {
                    errors.at(other, "the keys of `job` stand in parentheses, such as `#[job(queue = \"emails\")]`");
                }
            }
        }
        attrs
    }

    /// Where the key was written, if it was.
    pub(crate) fn written(&self, key: Key) -> Option<&Ident> {
        self.written.iter().find(|(written, _)| *written == key).map(|(_, ident)| ident)
    }

    /// Reads one `key = value`, and goes on to the next after a mistake.
    fn entry(&mut self, tokens: &[TokenTree], errors: &mut Errors) {
        let [name, rest @ ..] = tokens else { return };
        let TokenTree::Ident(ident) = name else {
            return errors.at(name, "expected a key, such as `queue`");
        };
        let Some(key) = Key::from_name(&ident.to_string()) else {
            return errors.at(ident, key::unknown(&ident.to_string()));
        };
        if self.written(key).is_some() {
            return errors.at(ident, format_args!("`{}` is given more than once", key.name()));
        }
        self.written.push((key, ident.clone()));
        match rest {
            [TokenTree::Punct(equals), value @ ..] if equals.as_char() == '=' && !value.is_empty() => {
                let end = missing_comma(value).unwrap_or(value.len());
                self.value(key, value[..end].iter().cloned().collect(), errors);
                if let [next, ..] = &value[end..] {
                    errors.at(next, format_args!("expected a comma before `{next}`"));
                    self.entry(&value[end..], errors);
                }
            }
            [] | [TokenTree::Punct(_)] => {
                errors.at(ident, format_args!("`{}` has no value: it {}", key.name(), key.takes()));
            }
            [other, ..] => errors.at(other, format_args!("expected `=` after `{}`", key.name())),
        }
    }

    fn value(&mut self, key: Key, value: TokenStream, errors: &mut Errors) {
        match key {
            Key::Kind => self.kind = literal(key, value, errors),
            Key::Aliases => self.aliases = list(key, value, errors),
            Key::Queue => self.queue = literal(key, value, errors),
            Key::Priority => self.priority = literal(key, value, errors),
            Key::MaxAttempts => self.max_attempts = literal(key, value, errors),
            Key::Timeout => self.timeout = literal(key, value, errors),
            Key::Backoff => self.backoff = text_or_path(key, value, errors),
            Key::Keep => self.keep = literal(key, value, errors),
            Key::Unique => self.unique = text_or_list(key, value, errors),
            Key::UniqueScope => self.unique_scope = literal(key, value, errors),
            Key::UniqueUntil => self.unique_until = literal(key, value, errors),
            Key::UniqueWithin => self.unique_within = literal(key, value, errors),
            Key::OnConflict => self.on_conflict = literal(key, value, errors),
            Key::Cron => self.cron = literal(key, value, errors),
            Key::Timezone => self.timezone = literal(key, value, errors),
            Key::Missed => self.missed = literal(key, value, errors),
            Key::Crate => self.root = literal(key, value, errors),
        }
    }
}

/// Where in `value` the next `key =` starts. Without this, a forgotten comma would be called a wrong type.
fn missing_comma(value: &[TokenTree]) -> Option<usize> {
    let is_key = |ident: &Ident| Key::from_name(&ident.to_string()).is_some();
    let starts_entry = |pair: &[TokenTree]| match pair {
        [TokenTree::Ident(ident), TokenTree::Punct(equals)] => equals.as_char() == '=' && is_key(ident),
        _ => false,
    };
    (1..value.len()).find(|&at| value.get(at..at + 2).is_some_and(starts_entry))
}
