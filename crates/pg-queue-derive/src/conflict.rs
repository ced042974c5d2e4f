//! The little language of `on_conflict = ".."`: `debounce(30s, max = 5m)`.

use std::time::Duration;

use crate::{
    call::{self, Arguments, Function},
    duration,
    key::Key,
};

/// What `pg_queue::OnConflict` will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnConflict {
    Keep,
    Replace,
    Debounce { delay: Duration, max: Duration },
}

const EXAMPLE: &str = "\"debounce(30s, max = 5m)\"";

/// Reads one answer to a conflict; the error is the message for the user.
pub(crate) fn parse(text: &str) -> Result<OnConflict, String> {
    match (text, call::split(text)) {
        ("keep", _) => Ok(OnConflict::Keep),
        ("replace", _) => Ok(OnConflict::Replace),
        (_, Some(("debounce", arguments))) => debounce(arguments),
        ("debounce", None) => Err(format!("debounce needs a delay and a max, such as {EXAMPLE}")),
        _ => Err(Key::OnConflict.refuses(text)),
    }
}

fn debounce(arguments: &str) -> Result<OnConflict, String> {
    let function = Function { name: "debounce", first: "delay", forms: &format!("write {EXAMPLE}") };
    let Arguments { first, max } = Arguments::parse(&function, arguments)?;
    let delay = first.ok_or_else(|| {
        format!("debounce needs a delay, how long a job waits after the last call, such as {EXAMPLE}")
    })?;
    // Without one, calls that never pause would put the job off for ever.
    let max = max
        .ok_or_else(|| format!("debounce needs a max, how long a job waits after the first call, such as {EXAMPLE}"))?;
    if delay.is_zero() {
        return Err("the delay of debounce is zero: write \"replace\" for a job that need not wait".to_owned());
    }
    if max < delay {
        return Err(format!(
            "the max of {} is below the delay of {}: a job would never wait as long as that",
            duration::show(max),
            duration::show(delay)
        ));
    }
    Ok(OnConflict::Debounce { delay, max })
}

#[cfg(test)]
mod tests {
    use super::{OnConflict, parse};
    use std::time::Duration;

    #[test]
    fn every_answer_is_read() {
        let (delay, max) = (Duration::from_secs(30), Duration::from_secs(300));
        for (text, answer) in [
            ("keep", OnConflict::Keep),
            ("replace", OnConflict::Replace),
            ("debounce(30s, max = 5m)", OnConflict::Debounce { delay, max }),
            (" debounce ( max=5m ,30s, ) ", OnConflict::Debounce { delay, max }),
            ("debounce(30s, max = 30s)", OnConflict::Debounce { delay, max: delay }),
        ] {
            assert_eq!(parse(text), Ok(answer), "{text}");
        }
    }

    #[test]
    fn a_message_says_what_is_wrong() {
        for (text, why) in [
            ("", "`on_conflict` cannot be \"\""),
            ("drop", "`on_conflict` cannot be \"drop\""),
            ("Keep", "`on_conflict` cannot be \"Keep\""),
            ("replace()", "`on_conflict` cannot be \"replace()\""),
            ("throttle(30s)", "`on_conflict` cannot be \"throttle(30s)\""),
            ("debounce", "debounce needs a delay and a max"),
            ("debounce()", "debounce needs a delay, "),
            ("debounce(max = 5m)", "debounce needs a delay, "),
            ("debounce(30s)", "debounce needs a max, "),
            ("debounce(30s, 5m)", "write \"max = 5m\""),
            ("debounce(30s, min = 5m)", "debounce has no \"min\": write \"debounce(30s, max = 5m)\""),
            ("debounce(0s, max = 5m)", "the delay of debounce is zero"),
            ("debounce(10m, max = 5m)", "the max of 5m is below the delay of 10m"),
            ("debounce(30, max = 5m)", "a unit is missing after 30"),
        ] {
            let message = parse(text).expect_err(text);
            assert!(message.contains(why), "{text}: {message}");
        }
    }
}
