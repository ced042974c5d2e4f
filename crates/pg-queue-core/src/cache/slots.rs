//! What processes that keep values in their own memory are told.
//!
//! Not which keys have changed, which would be too long for a notification, but which of 65,536 slots they belong to: what is
//! kept of the others stays.

use std::{collections::BTreeSet, fmt::Write};

use super::Key;
use crate::Schema;

/// Stands for all slots.
pub(super) const ALL: &str = "*";

/// Beyond so many all of them are told: four characters each, and a notification has room for 7,999.
const MOST: usize = 1900;

/// Which slots have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// These.
    Slots(Vec<u16>),
    /// Any.
    All,
}

/// The channel on which changes are told.
#[must_use]
pub fn channel(schema: &Schema) -> String {
    format!("pg_queue.cache.{schema}")
}

/// These keys have changed.
pub(super) fn told<'k>(keys: impl IntoIterator<Item = &'k Key>) -> String {
    let slots: BTreeSet<u16> = keys.into_iter().map(Key::slot).collect();
    if slots.len() > MOST {
        return ALL.to_owned();
    }
    slots.into_iter().fold(String::new(), |mut told, slot| {
        write!(told, "{slot:04x}").expect("writing to a string cannot fail");
        told
    })
}

/// Reads what was told. What cannot be read, because another version has written it, may mean anything.
#[must_use]
pub fn read_changed(payload: &str) -> Changed {
    let slot = |digits: &[u8]| u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let chunks = payload.as_bytes().chunks_exact(4);
    let whole = chunks.remainder().is_empty();
    match chunks.map(slot).collect::<Option<Vec<_>>>() {
        Some(slots) if whole => Changed::Slots(slots),
        _ => Changed::All,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Namespace, Changed, Key, read_changed, told};

    #[test]
    fn what_was_told_is_read() {
        let key = |n: usize| Key::new(&Namespace::default(), n.to_string().as_bytes());
        let keys = [key(1), key(2), key(1)];
        let mut slots = vec![key(1).slot(), key(2).slot()];
        slots.sort_unstable();
        assert_eq!(read_changed(&told(&keys)), Changed::Slots(slots));
        let many: Vec<Key> = (0..5000).map(key).collect();
        assert_eq!(read_changed(&told(&many)), Changed::All);
        assert!(told(&many[..1900]).len() < 7999);
        for odd in ["*", "12", "zzzz", "00011", "ä111"] {
            assert_eq!(read_changed(odd), Changed::All, "{odd}");
        }
    }
}
