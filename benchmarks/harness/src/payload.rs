//! What a job carries.

use serde::{Deserialize, Serialize};

use crate::usage;

/// About 120 bytes of JSON, in all scenarios and for all contestants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Which one of the run: counted from 0, so that one that is missing or comes twice is found.
    pub id: u64,
    /// When it was sent, in microseconds on this machine's clock, which all processes share.
    pub sent: u64,
    /// Filler, as real payloads have it.
    pub to: String,
    /// Filler too.
    pub subject: String,
}

impl Payload {
    /// The job of this number, sent now.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self {
            id,
            sent: usage::now(),
            to: "user-000042@example.com".into(),
            subject: "welcome aboard, and thank you for joining".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Payload;

    #[test]
    fn a_payload_has_between_100_and_150_bytes() {
        for id in [0, 99_999, 99_999_999] {
            let payload = Payload { sent: 1 << 40, ..Payload::new(id) };
            let length = serde_json::to_string(&payload).expect("it serializes").len();
            assert!((100..=150).contains(&length), "{length}");
        }
    }
}
