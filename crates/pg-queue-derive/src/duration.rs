//! Durations as they are written in attributes: `250ms`, `30s`, `1h30m`.

use std::time::Duration;

/// Every unit, longest first, with its length in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("d", 24 * 60 * 60 * 1000), ("h", 60 * 60 * 1000), ("m", 60 * 1000), ("s", 1000), ("ms", 1)];

/// Ends every message, so that whoever guessed wrong needs no second guess.
const FORMS: &str = "write whole numbers with a unit of d, h, m, s or ms, the longest first, \
                     such as \"250ms\", \"30s\", \"10m\", \"2h\", \"1d\" or \"1h30m\"";

/// Reads one duration; the error is the message for the user.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    parts(text)
        .map(Duration::from_millis)
        .map_err(|why| format!("\"{}\" is not a duration: {why}; {FORMS}", text.escape_debug()))
}

/// Writes a duration the way it is read, for messages that quote one the user did not type.
pub(crate) fn show(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, length) in UNITS {
        if rest >= length {
            text += &format!("{}{unit}", rest / length);
            rest %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The sum of all parts in milliseconds, or why there is none.
fn parts(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last: Option<usize> = None;
    while !rest.is_empty() {
        let (digits, after) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, after) = split_where(after, |c| !c.is_ascii_alphabetic());
        if digits.is_empty() {
            return Err(format!("a number is missing before \"{}\"", rest.escape_debug()));
        }
        if unit.is_empty() {
            return Err(format!("a unit is missing after {digits}"));
        }
        let Some(rank) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(format!("\"{unit}\" is not a unit"));
        };
        if last == Some(rank) {
            return Err(format!("the unit {unit} is given twice"));
        }
        // Parts out of order are more likely a slip (`30m1h` for `1h30m`) than a wish.
        if let Some(last) = last.filter(|last| *last > rank) {
            return Err(format!("{unit} is longer than {} and comes before it", UNITS[last].0));
        }
        total = digits
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(UNITS[rank].1))
            .and_then(|length| total.checked_add(length))
            .ok_or("it is too long")?;
        last = Some(rank);
        rest = after;
    }
    Ok(total)
}

fn split_where(text: &str, end: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(end).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::{parse, show};
    use std::time::Duration;

    const HOUR: u64 = 3600;

    fn error(text: &str) -> String {
        parse(text).expect_err(text)
    }

    #[test]
    fn every_unit_is_read() {
        for (text, duration) in [
            ("250ms", Duration::from_millis(250)),
            ("30s", Duration::from_secs(30)),
            ("10m", Duration::from_secs(600)),
            ("2h", Duration::from_secs(2 * HOUR)),
            ("1d", Duration::from_secs(24 * HOUR)),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(parse(text), Ok(duration), "{text}");
        }
    }

    #[test]
    fn parts_add_up() {
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(90 * 60)));
        assert_eq!(parse("1d2h3m4s5ms"), Ok(Duration::from_millis(93_784_005)));
        assert_eq!(parse("90m"), Ok(Duration::from_secs(90 * 60)));
    }

    #[test]
    fn a_message_says_what_is_wrong_and_what_would_be_right() {
        for (text, why) in [
            ("", "it is empty"),
            ("30", "a unit is missing after 30"),
            ("1h30", "a unit is missing after 30"),
            ("s", "a number is missing before \"s\""),
            ("-5s", "a number is missing before \"-5s\""),
            (" 5s", "a number is missing before \" 5s\""),
            ("1.5s", "a unit is missing after 1"),
            ("5 s", "a unit is missing after 5"),
            ("30x", "\"x\" is not a unit"),
            ("30S", "\"S\" is not a unit"),
            ("5min", "\"min\" is not a unit"),
            ("1s2s", "the unit s is given twice"),
            ("30m1h", "h is longer than m and comes before it"),
            ("1h2m3h", "h is longer than m and comes before it"),
            ("٣s", "a number is missing before \"٣s\""),
        ] {
            let message = error(text);
            assert!(message.contains(&format!(": {why}; ")), "{text}: {message}");
            assert!(message.contains("\"1h30m\""), "{text}: {message}");
        }
    }

    #[test]
    fn overflow_is_an_error_in_the_number_in_the_unit_and_in_the_sum() {
        for text in ["99999999999999999999ms", "18446744073709551615d", "1d18446744073709551615ms"] {
            assert!(error(text).contains("too long"), "{text}");
        }
        assert_eq!(parse("18446744073709551615ms"), Ok(Duration::from_millis(u64::MAX)));
    }

    #[test]
    fn shown_durations_read_back() {
        for text in ["250ms", "1h", "1h30m", "1d2h3m4s5ms"] {
            assert_eq!(show(parse(text).expect(text)), text);
        }
        assert_eq!(show(Duration::ZERO), "0s");
    }
}
