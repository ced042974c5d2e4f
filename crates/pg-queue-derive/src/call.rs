//! The form that `backoff = ".."` and others share: a name with arguments, `linear(5s, max = 10m)`.

use std::time::Duration;

use crate::duration;

/// Splits `name(arguments)`.
pub(crate) fn split(text: &str) -> Option<(&str, &str)> {
    text.trim()
        .strip_suffix(')')
        .and_then(|call| call.split_once('('))
        .map(|(name, arguments)| (name.trim_end(), arguments))
}

/// What the messages about a function call it and what it takes.
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// What its first argument is, in a word.
    pub(crate) first: &'a str,
    /// Everything that could stand in its place.
    pub(crate) forms: &'a str,
}

/// The arguments that were given: a duration, and another one named `max`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) first: Option<Duration>,
    pub(crate) max: Option<Duration>,
}

impl Arguments {
    /// Reads them; the error is the message for the user.
    pub(crate) fn parse(function: &Function<'_>, text: &str) -> Result<Self, String> {
        let Function { name, first: what, forms } = function;
        let (mut first, mut max) = (None, None);
        // One comma may trail, as in Rust.
        let text = text.trim();
        let text = text.strip_suffix(',').unwrap_or(text);
        if text.is_empty() {
            return Ok(Self { first, max });
        }
        for argument in text.split(',').map(str::trim) {
            match argument.split_once('=').map(|(key, value)| (key.trim_end(), value.trim_start())) {
                None if argument.is_empty() => return Err(format!("{name} has a comma too many")),
                None if first.is_none() => first = Some(duration::parse(argument)?),
                None => {
                    return Err(format!(
                        "{name} takes one {what}; write \"max = {argument}\" if it is the longest delay"
                    ));
                }
                Some(("max", _)) if max.is_some() => return Err(format!("{name} takes one max")),
                Some(("max", value)) => max = Some(duration::parse(value)?),
                Some((key, _)) => return Err(format!("{name} has no \"{}\": {forms}", key.escape_debug())),
            }
        }
        Ok(Self { first, max })
    }
}
