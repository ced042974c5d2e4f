//! The rules that several keys share.

use std::{fmt::Display, str::FromStr, time::Duration};
use syn::{LitInt, LitStr};

use crate::{
    attr::Attrs,
    duration,
    errors::Errors,
    key::{Key, Named},
};

/// A whole number of a range to which both ends belong.
pub(crate) fn in_range<N>(key: impl Named, literal: &LitInt, min: N, max: N, errors: &mut Errors) -> Option<N>
where
    N: FromStr<Err: Display> + PartialOrd,
{
    let number = literal.base10_parse().ok().filter(|number| (min..=max).contains(number));
    if number.is_none() {
        errors.at(literal, format_args!("`{}` {literal} is out of range: it {}", key.name(), key.takes()));
    }
    number
}

/// What a function reads in a string; its error is the message for the user.
pub(crate) fn read<T>(
    literal: &LitStr,
    function: impl FnOnce(&str) -> Result<T, String>,
    errors: &mut Errors,
) -> Option<T> {
    function(&literal.value()).map_err(|why| errors.at(literal, why)).ok()
}

/// A duration that is not zero. `zero` is the message for one that is.
pub(crate) fn above_zero(literal: &LitStr, zero: &str, errors: &mut Errors) -> Option<Duration> {
    let refusing_zero = |text: &str| match duration::parse(text)? {
        Duration::ZERO => Err(zero.to_owned()),
        duration => Ok(duration),
    };
    read(literal, refusing_zero, errors)
}

/// One of a few words, each with what it means.
pub(crate) fn word<T, const N: usize>(
    key: Key,
    literal: &LitStr,
    words: [(&str, T); N],
    errors: &mut Errors,
) -> Option<T> {
    let text = literal.value();
    let meaning = words.into_iter().find(|(word, _)| *word == text).map(|(_, meaning)| meaning);
    if meaning.is_none() {
        errors.at(literal, key.refuses(&text));
    }
    meaning
}

/// Refuses `key` where the one is missing whose meaning it changes: it would be ignored silently.
pub(crate) fn says_nothing_without(attrs: &Attrs, key: Key, other: Key, errors: &mut Errors) {
    if let (Some(ident), None) = (attrs.written(key), attrs.written(other)) {
        let (key, takes) = (key.name(), other.takes());
        errors.at(ident, format_args!("`{key}` says nothing without `{}`, which {takes}", other.name()));
    }
}
