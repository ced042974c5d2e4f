//! The little language of `backoff = ".."`: `exponential(1s, max = 10m)`.

use std::time::Duration;
use syn::ExprPath;

use crate::{
    call::{self, Arguments, Function},
    duration,
};

/// What `pg_queue::Backoff` will be; a macro cannot depend on the crate that exports it.
pub(crate) enum Backoff {
    Formula(Formula),
    /// A function of the user. Whether it is one, `rustc` finds out.
    Function(ExprPath),
}

/// What a string says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Formula {
    Constant(Duration),
    Linear { base: Duration, max: Duration },
    Exponential { base: Duration, max: Duration },
}

/// The longest delay when none is given, the same as in the default backoff.
const DEFAULT_MAX: Duration = Duration::from_secs(60 * 60);

const FORMS: &str = "write \"constant(5s)\", \"linear(5s, max = 10m)\" or \"exponential(1s, max = 10m)\"";

/// How to write what this language cannot say.
const FUNCTION: &str = "a function is given by its path without quotes, such as `backoff = my_backoff`";

/// Reads one formula; the error is the message for the user.
pub(crate) fn parse(text: &str) -> Result<Formula, String> {
    let no_backoff = |text: &str| format!("\"{}\" is not a backoff: {FORMS}; {FUNCTION}", text.escape_debug());
    let (name, arguments) = call::split(text).ok_or_else(|| no_backoff(text))?;
    match name {
        "constant" => {
            let (base, max) = delays(name, arguments)?;
            if max.is_some() {
                return Err("constant takes no max: its delay is always the base".to_owned());
            }
            Ok(Formula::Constant(base))
        }
        "linear" => {
            let (base, max) = range(delays(name, arguments)?)?;
            Ok(Formula::Linear { base, max })
        }
        "exponential" => {
            let (base, max) = range(delays(name, arguments)?)?;
            Ok(Formula::Exponential { base, max })
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
    use super::{Formula, parse};
    use std::time::Duration;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn every_function_is_read() {
        for (text, formula) in [
            ("constant(5s)", Formula::Constant(secs(5))),
            ("linear(5s, max = 10m)", Formula::Linear { base: secs(5), max: secs(600) }),
            ("exponential(1s, max = 10m)", Formula::Exponential { base: secs(1), max: secs(600) }),
            ("exponential(1s, max = 1s)", Formula::Exponential { base: secs(1), max: secs(1) }),
        ] {
            assert_eq!(parse(text), Ok(formula), "{text}");
        }
    }

    #[test]
    fn max_is_an_hour_unless_given() {
        assert_eq!(parse("linear(5s)"), Ok(Formula::Linear { base: secs(5), max: secs(3600) }));
        assert_eq!(parse("exponential(1h)"), Ok(Formula::Exponential { base: secs(3600), max: secs(3600) }));
    }

    #[test]
    fn blanks_a_trailing_comma_and_the_order_are_free() {
        let expected = Ok(Formula::Linear { base: secs(5), max: secs(600) });
        for text in [" linear ( 5s ,max=10m ) ", "linear(5s, max = 10m,)", "linear(max = 10m, 5s)"] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_message_says_what_is_wrong() {
        for (text, why) in [
            ("", "\"\" is not a backoff"),
            ("delays::slow", "a function is given by its path without quotes"),
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
