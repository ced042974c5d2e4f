//! From the tokens of `#[request(..)]` to one value for each key.

use proc_macro2::{Ident, TokenTree};
use syn::{
    Attribute, LitInt, LitStr, MacroDelimiter, Meta, Token, Type, bracketed,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
};

use super::key::Key;
use crate::{
    errors::Errors,
    key::{Named, unknown_of},
};

/// All `#[request(..)]` of one struct, merged.
#[derive(Default)]
pub(super) struct Attrs {
    /// Every key that was written, with a good value or not.
    written: Vec<Key>,
    pub(super) response: Option<Type>,
    pub(super) error: Option<Type>,
    pub(super) kind: Option<LitStr>,
    pub(super) aliases: Option<Vec<LitStr>>,
    pub(super) queue: Option<LitStr>,
    pub(super) timeout: Option<LitStr>,
    pub(super) max_attempts: Option<LitInt>,
    pub(super) root: Option<LitStr>,
}

impl Attrs {
    pub(super) fn parse(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut attrs = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("request")) {
            match &attribute.meta {
                Meta::List(list) if matches!(list.delimiter, MacroDelimiter::Paren(_)) => {
                    let entries = |input: ParseStream<'_>| {
                        attrs.entries(input, errors);
                        Ok(())
                    };
                    entries.parse2(list.tokens.clone()).expect("everything is read, whatever it is");
                }
                other => {
                    errors
                        .at(other, "the keys of `request` stand in parentheses, such as `#[request(response = User)]`");
                }
            }
        }
        attrs
    }

    pub(super) fn is_written(&self, key: Key) -> bool {
        self.written.contains(&key)
    }

    /// Reads what is separated by commas, and goes on to the next after a mistake. A type may have commas of its own, so that the
    /// tokens cannot be split at them before.
    fn entries(&mut self, input: ParseStream<'_>, errors: &mut Errors) {
        while !input.is_empty() {
            let entry = self.entry(input).and_then(|()| {
                if input.is_empty() || input.peek(Token![,]) {
                    Ok(())
                } else {
                    Err(input.error(format_args!("expected a comma before `{input}`")))
                }
            });
            if let Err(error) = entry {
                errors.add(error);
                while !input.is_empty() && !input.peek(Token![,]) {
                    // Not empty, so that there is one.
                    drop(input.parse::<TokenTree>());
                }
            }
            drop(input.parse::<Option<Token![,]>>());
        }
    }

    /// Reads one `key = value`.
    fn entry(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let ident =
            input.call(Ident::parse_any).map_err(|error| retold(&error, "expected a key, such as `response`"))?;
        let name = ident.to_string();
        let Some(key) = Key::from_name(&name) else {
            return Err(syn::Error::new_spanned(&ident, unknown_of(&name, &Key::ALL)));
        };
        if self.is_written(key) {
            return Err(syn::Error::new_spanned(&ident, format_args!("`{name}` is given more than once")));
        }
        self.written.push(key);
        let missing = || syn::Error::new_spanned(&ident, format_args!("`{name}` has no value: it {}", key.takes()));
        if input.parse::<Option<Token![=]>>()?.is_none() {
            return if input.is_empty() || input.peek(Token![,]) {
                Err(missing())
            } else {
                Err(input.error(format_args!("expected `=` after `{name}`")))
            };
        }
        if input.is_empty() || input.peek(Token![,]) {
            return Err(missing());
        }
        match key {
            Key::Response => self.response = Some(value(key, input)?),
            Key::Error => self.error = Some(value(key, input)?),
            Key::Kind => self.kind = Some(value(key, input)?),
            Key::Aliases => self.aliases = Some(strings(key, input)?),
            Key::Queue => self.queue = Some(value(key, input)?),
            Key::Timeout => self.timeout = Some(value(key, input)?),
            Key::MaxAttempts => self.max_attempts = Some(value(key, input)?),
            Key::Crate => self.root = Some(value(key, input)?),
        }
        Ok(())
    }
}

fn value<T: Parse>(key: Key, input: ParseStream<'_>) -> syn::Result<T> {
    input.parse().map_err(|error| retold(&error, format_args!("`{}` {}", key.name(), key.takes())))
}

fn strings(key: Key, input: ParseStream<'_>) -> syn::Result<Vec<LitStr>> {
    let read = |input: ParseStream<'_>| {
        let list;
        bracketed!(list in input);
        Punctuated::<LitStr, Token![,]>::parse_terminated(&list)
    };
    let strings = read(input).map_err(|error| retold(&error, format_args!("`{}` {}", key.name(), key.takes())))?;
    Ok(strings.into_iter().collect())
}

/// At the same place, in our words.
fn retold(error: &syn::Error, message: impl std::fmt::Display) -> syn::Error {
    syn::Error::new(error.span(), message)
}
