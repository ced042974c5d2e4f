//! What makes one job the same as another.

use std::{fmt::Write, time::Duration};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::PushError;

/// The longest unique key, in bytes.
pub const MAX_UNIQUE_KEY_BYTES: usize = 512;

/// A longer derived key is hashed; shorter ones can be read in the table.
const MAX_READABLE_BYTES: usize = 256;

/// Stands between a kind and a key, and in neither of them.
const SEPARATOR: char = '\u{1f}';

/// What makes a job the same as another one, for how long, and what becomes of the second.
///
/// Two jobs are the same when their keys are, within a queue. Enqueuing waits for an open transaction that has enqueued the
/// same key, because nobody knows yet whether that job will exist; it waits for no other.
///
/// ```
/// use std::time::Duration;
/// use pg_queue_core::{OnConflict, Unique, UniqueUntil};
///
/// // At most one waiting reminder for this invoice; a second one takes its place.
/// let reminder = Unique::key("reminder-17").until(UniqueUntil::Started).on_conflict(OnConflict::Replace);
/// // At most one a minute, whatever became of the last.
/// let ping = Unique::key("ping").until(UniqueUntil::Elapsed(Duration::from_secs(60)));
/// # let _ = (reminder, ping);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    key: String,
    scope: UniqueScope,
    pub(super) until: UniqueUntil,
    pub(super) on_conflict: OnConflict,
}

/// Among which jobs of a queue a key is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UniqueScope {
    /// All jobs of the queue.
    Queue,
    /// The jobs of one kind.
    Kind,
}

/// How long a key is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UniqueUntil {
    /// Until the job is completed, cancelled or discarded.
    Finished,
    /// Until the job starts for the first time: while one runs, the next one may wait.
    Started,
    /// For this long after the job was enqueued, whatever becomes of it. Keys that are held so are apart from those that
    /// are held by a state of their job.
    Elapsed(Duration),
}

/// What becomes of a job that meets another one with its key. One that runs is never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnConflict {
    /// The one that is there stays as it is.
    Keep,
    /// The one that is there, if it waits, gets payload, time, priority and all else of the new one, and its attempts begin
    /// anew.
    Replace,
    /// The same, and it runs `delay` after this call; but at most `max` after it was first enqueued.
    Debounce {
        /// How long it waits from the last call on.
        delay: Duration,
        /// How long it waits from the first call on.
        max: Duration,
    },
}

impl Unique {
    /// By a key that means the same in all of the queue. At most 512 bytes.
    pub fn key(key: impl Into<String>) -> Self {
        Self { key: key.into(), scope: UniqueScope::Queue, until: UniqueUntil::Finished, on_conflict: OnConflict::Keep }
    }

    /// By a value, such as the payload or a tuple of some of its fields, among the jobs of the same kind. Values are the same
    /// when their JSON is, whatever the order of an object's keys.
    ///
    /// # Errors
    /// The value does not serialize.
    pub fn of(value: &impl Serialize) -> Result<Self, PushError> {
        let value = serde_json::to_value(value).map_err(PushError::Serialize)?;
        let mut key = String::new();
        write_sorted(&value, &mut key);
        if key.len() > MAX_READABLE_BYTES {
            let digest = Sha256::digest(key.as_bytes());
            key = String::from("sha256:");
            for byte in digest {
                write!(key, "{byte:02x}").expect("writing to a string cannot fail");
            }
        }
        Ok(Self::key(key).scope(UniqueScope::Kind))
    }

    /// Among which jobs of the queue. Default: all of them for a [`key`](Self::key), those of the kind for a value.
    #[must_use]
    pub fn scope(mut self, scope: UniqueScope) -> Self {
        self.scope = scope;
        self
    }

    /// For how long. Default: until the job has finished.
    #[must_use]
    pub fn until(mut self, until: UniqueUntil) -> Self {
        self.until = until;
        self
    }

    /// What becomes of a second job. Default: [`OnConflict::Keep`].
    #[must_use]
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.on_conflict = on_conflict;
        self
    }

    /// The key as it stands in the table, for a job of this kind.
    pub(super) fn stored(&self, kind: &str) -> Result<String, PushError> {
        let key = match self.scope {
            UniqueScope::Queue => self.key.clone(),
            UniqueScope::Kind => format!("{kind}{SEPARATOR}{}", self.key),
        };
        let bad = self.key.contains(['\0', SEPARATOR]) || key.len() > MAX_UNIQUE_KEY_BYTES;
        if bad { Err(PushError::InvalidUniqueKey) } else { Ok(key) }
    }
}

/// The JSON of a value with the keys of its objects in order: what is equal is written the same, also out of a hash map.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (position, (key, value)) in entries.into_iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_sorted(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (position, value) in values.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_sorted(value, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{MAX_UNIQUE_KEY_BYTES, Unique, UniqueScope};

    fn stored(unique: &Unique) -> String {
        unique.stored("send").unwrap()
    }

    #[test]
    fn equal_values_have_equal_keys_whatever_their_order() {
        let one: HashMap<&str, u32> = [("a", 1), ("b", 2), ("c", 3)].into();
        let other: HashMap<&str, u32> = [("c", 3), ("b", 2), ("a", 1)].into();
        let key = stored(&Unique::of(&(17, &one)).unwrap());
        assert_eq!(key, stored(&Unique::of(&(17, &other)).unwrap()));
        assert_eq!(key, "send\u{1f}[17,{\"a\":1,\"b\":2,\"c\":3}]");
    }

    #[test]
    fn a_long_value_has_a_short_key() {
        let long = stored(&Unique::of(&"x".repeat(10_000)).unwrap());
        assert!(long.len() < 100, "{long}");
        assert_ne!(long, stored(&Unique::of(&"x".repeat(10_001)).unwrap()));
    }

    #[test]
    fn keys_of_different_kinds_are_apart_unless_they_are_the_queues() {
        let of_kind = Unique::key("a").scope(UniqueScope::Kind);
        assert_ne!(of_kind.stored("one").unwrap(), of_kind.stored("two").unwrap());
        assert_eq!(Unique::key("a").stored("one").unwrap(), Unique::key("a").stored("two").unwrap());
    }

    #[test]
    fn a_key_that_the_table_cannot_hold_is_refused() {
        for bad in ["a\0b".to_owned(), "a\u{1f}b".to_owned(), "k".repeat(MAX_UNIQUE_KEY_BYTES + 1)] {
            assert!(Unique::key(bad).stored("send").is_err());
        }
        assert!(Unique::key("k".repeat(MAX_UNIQUE_KEY_BYTES)).stored("send").is_ok());
        assert!(Unique::key("k".repeat(MAX_UNIQUE_KEY_BYTES)).scope(UniqueScope::Kind).stored("send").is_err());
    }
}
