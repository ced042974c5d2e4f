//! The little language of `backoff = ".."`: `exponential(1s, max = 10m)`.

use std::time::Duration;

use crate::duration;

/// What `pg_queue::Backoff` will be; a macro cannot depend on the crate that exports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backoff {
    Constant(Duration),
    Linear { base: Duration, max: Duration },
    Exponential { base: Duration, max: Duration },
}

/// The longest delay when none is given, the same as in the default backoff.
const DEFAULT_MAX: Duration = Duration::from_secs(60 * 60);

const FORMS: &str = "write \"constant(5s)\", \"linear(5s, max = 10m)\" or \"exponential(1s, max = 10m)\"";

/// Reads one backoff; the error is the message for the user.
pub(crate) fn parse(text: &str) -> Result<Backoff, String> {
    let (name, arguments) = call(text)?;
    match name {
        "constant" => {
            let Arguments { base, max } = Arguments::parse(name, arguments)?;
            if max.is_some() {
                return Err("constant takes no max: its delay is always the base".to_owned());
            }
            Ok(Backoff::Constant(base))
        }
        "linear" => {
            let (base, max) = Arguments::parse(name, arguments)?.range()?;
            Ok(Backoff::Linear { base, max })
        }
        "exponential" => {
            let (base, max) = Arguments::parse(name, arguments)?.range()?;
            Ok(Backoff::Exponential { base, max })
        }
        other => Err(format!("\"{}\" is not a backoff: {FORMS}", other.escape_debug())),
    }
}

/// Splits `name(arguments)`.
fn call(text: &str) -> Result<(&str, &str), String> {
    text.trim()
        .strip_suffix(')')
        .and_then(|call| call.split_once('('))
        .map(|(name, arguments)| (name.trim_end(), arguments))
        .ok_or_else(|| format!("\"{}\" is not a backoff: {FORMS}", text.escape_debug()))
}

struct Arguments {
    base: Duration,
    max: Option<Duration>,
}

impl Arguments {
    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let (mut base, mut max) = (None, None);
        // One comma may trail, as in Rust.
        let text = text.trim();
        let text = text.strip_suffix(',').unwrap_or(text);
        for argument in text.split(',').map(str::trim) {
            match argument.split_once('=').map(|(key, value)| (key.trim_end(), value.trim_start())) {
                None if argument.is_empty() && base.is_none() => return Err(needs_base(name)),
                None if argument.is_empty() => return Err(format!("{name} has a comma too many")),
                None if base.is_none() => base = Some(duration::parse(argument)?),
                None => {
                    return Err(format!(
                        "{name} takes one base; write \"max = {argument}\" if it is the longest delay"
                    ));
                }
                Some(("max", _)) if max.is_some() => return Err(format!("{name} takes one max")),
                Some(("max", value)) => max = Some(duration::parse(value)?),
                Some((key, _)) => {
                    return Err(format!("{name} has no \"{}\": {FORMS}", key.escape_debug()));
                }
            }
        }
        let base = base.ok_or_else(|| needs_base(name))?;
        if base.is_zero() {
            return Err(format!("the base of {name} is zero: a failed job would be tried again at once"));
        }
        Ok(Self { base, max })
    }

    /// Base and max, in that order of size.
    fn range(self) -> Result<(Duration, Duration), String> {
        let max = self.max.unwrap_or(DEFAULT_MAX);
        if max < self.base {
            return Err(format!(
                "the max of {}{} is below the base of {}",
                duration::show(max),
                if self.max.is_some() { "" } else { ", the default," },
                duration::show(self.base),
            ));
        }
        Ok((self.base, max))
    }
}

fn needs_base(name: &str) -> String {
    format!("{name} needs a base, the first delay, such as \"{name}(5s)\"")
}

#[cfg(test)]
mod tests {
    use super::{Backoff, parse};
    use std::time::Duration;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn every_function_is_read() {
        for (text, backoff) in [
            ("constant(5s)", Backoff::Constant(secs(5))),
            ("linear(5s, max = 10m)", Backoff::Linear { base: secs(5), max: secs(600) }),
            ("exponential(1s, max = 10m)", Backoff::Exponential { base: secs(1), max: secs(600) }),
            ("exponential(1s, max = 1s)", Backoff::Exponential { base: secs(1), max: secs(1) }),
        ] {
            assert_eq!(parse(text), Ok(backoff), "{text}");
        }
    }

    #[test]
    fn max_is_an_hour_unless_given() {
        assert_eq!(parse("linear(5s)"), Ok(Backoff::Linear { base: secs(5), max: secs(3600) }));
        assert_eq!(parse("exponential(1h)"), Ok(Backoff::Exponential { base: secs(3600), max: secs(3600) }));
    }

    #[test]
    fn blanks_a_trailing_comma_and_the_order_are_free() {
        let expected = Ok(Backoff::Linear { base: secs(5), max: secs(600) });
        for text in [" linear ( 5s ,max=10m ) ", "linear(5s, max = 10m,)", "linear(max = 10m, 5s)"] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_message_says_what_is_wrong() {
        for (text, why) in [
            ("", "\"\" is not a backoff"),
            ("5s", "\"5s\" is not a backoff"),
            ("exponential", "\"exponential\" is not a backoff"),
            ("exponential(1s", "\"exponential(1s\" is not a backoff"),
            ("quadratic(1s)", "\"quadratic\" is not a backoff"),
            ("Linear(1s)", "\"Linear\" is not a backoff"),
            ("exponential()", "exponential needs a base"),
            ("exponential(,)", "exponential needs a base"),
            ("exponential(1s,,)", "exponential has a comma too many"),
            ("exponential(max = 10m)", "exponential needs a base"),
            ("exponential(1s, 10m)", "write \"max = 10m\""),
            ("exponential(1s, max = 2s, max = 3s)", "exponential takes one max"),
            ("exponential(1s, min = 2s)", "exponential has no \"min\""),
            ("constant(1s, max = 2s)", "constant takes no max"),
            ("constant(0s)", "the base of constant is zero"),
            ("linear(1)", "a unit is missing after 1"),
            ("linear(1s, max = ten)", "a number is missing before \"ten\""),
            ("linear(1m, max = 30s)", "the max of 30s is below the base of 1m"),
            ("linear(2h)", "the max of 1h, the default, is below the base of 2h"),
            ("linear(1s)(2s)", "is not a duration"),
        ] {
            let message = parse(text).expect_err(text);
            assert!(message.contains(why), "{text}: {message}");
        }
    }
}
