//! The little language of `backoff = ".."`: `exponential(1s, max = 10m)`.

use std::time::Duration;

use crate::{
    call::{self, Arguments, Function},
    duration,
};

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
    let no_backoff = |text: &str| format!("\"{}\" is not a backoff: {FORMS}", text.escape_debug());
    let (name, arguments) = call::split(text).ok_or_else(|| no_backoff(text))?;
    match name {
        "constant" => {
            let (base, max) = delays(name, arguments)?;
            if max.is_some() {
                return Err("constant takes no max: its delay is always the base".to_owned());
            }
            Ok(Backoff::Constant(base))
        }
        "linear" => {
            let (base, max) = range(delays(name, arguments)?)?;
            Ok(Backoff::Linear { base, max })
        }
        "exponential" => {
            let (base, max) = range(delays(name, arguments)?)?;
            Ok(Backoff::Exponential { base, max })
        }
        other => Err(no_backoff(other)),
    }
}

/// The base, which there must be, and the max if it was given.
fn delays(name: &str, arguments: &str) -> Result<(Duration, Option<Duration>), String> {
    let function = Function { name, first: "base", forms: FORMS };
    let Arguments { first, max } = Arguments::parse(&function, arguments)?;
    match first {
        None => Err(format!("{name} needs a base, the first delay, such as \"{name}(5s)\"")),
        Some(Duration::ZERO) => Err(format!("the base of {name} is zero: a failed job would be tried again at once")),
        Some(base) => Ok((base, max)),
    }
}

/// Base and max, in that order of size.
fn range((base, max): (Duration, Option<Duration>)) -> Result<(Duration, Duration), String> {
    let longest = max.unwrap_or(DEFAULT_MAX);
    if longest < base {
        return Err(format!(
            "the max of {}{} is below the base of {}",
            duration::show(longest),
            if max.is_some() { "" } else { ", the default," },
            duration::show(base),
        ));
    }
    Ok((base, longest))
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
            ("exponential(,1s)", "exponential has a comma too many"),
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
