//! Reading JSON without repeating it in errors.

use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// JSON that is not what was expected: where, and what was expected there.
///
/// Values of the JSON are left out of the message, since it goes to logs and payloads do not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

/// Reads a `T` from JSON.
///
/// # Errors
/// The JSON is not a `T`.
pub fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(json).map_err(|error| DecodeError(without_values(&error)))
}

/// serde's message without what it quotes from the JSON. Names of fields stay: they are the type's, not the payload's.
fn without_values(error: &serde_json::Error) -> String {
    let message = error.to_string();
    if error.classify() != Category::Data {
        return message;
    }
    let keeps = |start: &&str| message.starts_with(*start);
    if ["missing field ", "duplicate field ", "unknown field ", "invalid length "].iter().any(keeps) {
        return message;
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    let (told, place) = match message.strip_suffix(&place) {
        Some(told) => (told, place.as_str()),
        None => (message.as_str(), ""),
    };
    // The value is quoted before the last `, expected`; quotes after it are the type's own words.
    let (told, expected) = told.rfind(", expected ").map_or((told, ""), |at| told.split_at(at));
    // From the first quotation mark to the last one: the value may hold some itself.
    let is_quote = |c| matches!(c, '"' | '`' | '\'');
    let told = match (told.find(is_quote), told.rfind(is_quote)) {
        (Some(first), Some(last)) => format!("{}..{}", &told[..first], &told[last + 1..]),
        _ => told.to_owned(),
    };
    format!("{told}{expected}{place}")
}

#[cfg(test)]
mod tests {
    use std::{fmt::Debug, net::Ipv4Addr};

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by Debug")]
    struct Email {
        to: String,
        size: u8,
    }

    #[derive(Debug, Deserialize)]
    enum Color {
        Red,
    }

    fn message<T: DeserializeOwned + Debug>(json: &str) -> String {
        from_json::<T>(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_was_expected_is_told_and_what_was_there_is_not() {
        for (told, expected) in [
            (
                message::<Email>(r#"{"to": "x", "size": "secret, expected `y`"}"#),
                "invalid type: string .., expected u8 at line 1 column 42",
            ),
            (message::<Email>(r#"{"to": 4711}"#), "invalid type: integer .., expected a string at line 1 column 11"),
            (
                message::<Email>(r#"{"to": "x", "size": 4711}"#),
                "invalid value: integer .., expected u8 at line 1 column 24",
            ),
            (message::<Email>(r#"{"to": null}"#), "invalid type: null, expected a string at line 1 column 11"),
            (message::<Email>(r#"{"to": "x"}"#), "missing field `size` at line 1 column 11"),
            (message::<Email>(r#"{"two": "x"}"#), "unknown field `two`, expected `to` or `size` at line 1 column 6"),
            (message::<Color>(r#""secret""#), "unknown variant .., expected `Red` at line 1 column 8"),
            (message::<Ipv4Addr>(r#""secret""#), "invalid IPv4 address syntax at line 1 column 8"),
            (message::<u8>("[1"), "invalid type: sequence, expected u8 at line 1 column 0"),
            (message::<Email>("{"), "EOF while parsing an object at line 1 column 1"),
        ] {
            assert_eq!(told, expected);
        }
        assert!(matches!(from_json(br#""Red""#), Ok(Color::Red)));
    }

    #[test]
    fn what_a_type_says_itself_is_told_without_what_it_quotes() {
        #[derive(Debug, Deserialize)]
        #[serde(try_from = "String")]
        struct Never;
        impl TryFrom<String> for Never {
            type Error = String;
            fn try_from(value: String) -> Result<Self, String> {
                Err(format!("no name: \"{value}\" has no dot"))
            }
        }
        assert_eq!(message::<Never>(r#""a secret at line 9""#), "no name: .. has no dot");
    }
}
