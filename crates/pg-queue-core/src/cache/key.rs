//! Keys, and the namespaces in which they are.

use std::{fmt, sync::Arc};

use sha2::{Digest, Sha256};

/// Of longer keys this many bytes and their SHA-256 are stored: an index entry has room for about 2,700 bytes.
const MAX_KEY_BYTES: usize = 512;

/// Before the keys of flags; no name of a namespace is so long.
const FLAGS: u8 = 0xff;

/// How many groups keys are divided among, when processes tell each other what has changed.
pub const SLOTS: usize = 1 << 16;

/// Keeps keys apart from those of other namespaces. The name is any text of up to 100 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace {
    /// A byte with the length of the name, and the name.
    prefix: Arc<[u8]>,
}

impl Namespace {
    /// Checks the name. The empty one is where keys are that were given no namespace.
    ///
    /// # Errors
    /// It is longer than 100 bytes.
    pub fn new(name: &str) -> Result<Self, InvalidNamespace> {
        match u8::try_from(name.len()) {
            Ok(length) if length <= 100 => Ok(Self { prefix: [&[length], name.as_bytes()].concat().into() }),
            _ => Err(InvalidNamespace { bytes: name.len() }),
        }
    }

    /// Where its flags are, which are no values.
    #[must_use]
    pub fn flags(&self) -> Self {
        Self { prefix: [&[FLAGS], &*self.prefix].concat().into() }
    }

    /// The range of the keys that begin with these bytes: the first one, and the one after the last, if there is any.
    pub(super) fn range(&self, prefix: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), PrefixTooLong> {
        if prefix.len() > MAX_KEY_BYTES {
            return Err(PrefixTooLong { bytes: prefix.len() });
        }
        let first = [&*self.prefix, prefix].concat();
        let mut after = first.clone();
        while let Some(last) = after.pop() {
            if let Some(next) = last.checked_add(1) {
                after.push(next);
                return Ok((first, Some(after)));
            }
        }
        Ok((first, None))
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self { prefix: [0].into() }
    }
}

/// A key in its namespace, as it is stored.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

impl Key {
    /// Any bytes, however many.
    #[must_use]
    pub fn new(namespace: &Namespace, key: &[u8]) -> Self {
        let mut stored = Vec::with_capacity(namespace.prefix.len() + key.len().min(MAX_KEY_BYTES + 32));
        stored.extend_from_slice(&namespace.prefix);
        if key.len() <= MAX_KEY_BYTES {
            stored.extend_from_slice(key);
        } else {
            // Longer than any key that is stored as it is, so that the two kinds are never the same.
            stored.extend_from_slice(&key[..MAX_KEY_BYTES]);
            stored.extend_from_slice(&Sha256::digest(key));
        }
        Self(stored)
    }

    /// As it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Which of the [`SLOTS`] it belongs to. The same in all versions: FNV-1a, folded.
    #[must_use]
    pub fn slot(&self) -> u16 {
        let hash =
            self.0.iter().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        let [a, b, c, d] = hash.to_be_bytes();
        u16::from_be_bytes([a ^ c, b ^ d])
    }

    /// The key as the caller gave it, as far as it is readable and fits a log line.
    #[must_use]
    pub fn shown(&self) -> String {
        let stored = self.0.strip_prefix(&[FLAGS]).unwrap_or(&self.0);
        let name = usize::from(stored.first().copied().unwrap_or_default());
        let key = stored.get(1 + name..).unwrap_or_default();
        String::from_utf8_lossy(&key[..key.len().min(320)]).chars().take(80).collect()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.shown()).finish()
    }
}

impl std::borrow::Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// A name of a namespace that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid namespace: its name has {bytes} bytes, at most 100 are allowed")]
pub struct InvalidNamespace {
    bytes: usize,
}

/// Keys are stored with their first 512 bytes, so that by more of them they cannot be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid prefix: it has {bytes} bytes, at most {MAX_KEY_BYTES} are allowed")]
pub struct PrefixTooLong {
    bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::{Key, Namespace};

    #[test]
    fn keys_of_different_namespaces_are_never_the_same() {
        let (none, a, ab) = (Namespace::default(), Namespace::new("a").unwrap(), Namespace::new("ab").unwrap());
        assert_eq!(Namespace::new("").unwrap(), none);
        let keys = [Key::new(&none, b"abk"), Key::new(&a, b"bk"), Key::new(&ab, b"k"), Key::new(&none, b"\x01abk")];
        for (n, key) in keys.iter().enumerate() {
            assert!(keys[n + 1..].iter().all(|other| other != key));
        }
        assert!(Namespace::new(&"n".repeat(100)).is_ok());
        assert!(Namespace::new(&"n".repeat(101)).is_err());
    }

    #[test]
    fn a_range_holds_what_begins_with_the_prefix_and_nothing_else() {
        let space = Namespace::new("n").unwrap();
        for prefix in [&b""[..], b"user:", b"\xff", b"a\xff\xff"] {
            let (first, after) = space.range(prefix).unwrap();
            let inside = |key: &[u8]| {
                let key = Key::new(&space, key);
                key.as_bytes() >= &*first && after.as_ref().is_none_or(|after| key.as_bytes() < &**after)
            };
            for key in [&b""[..], b"user:", b"user:1", b"user;", b"usez", b"\xff\xff", b"a\xff\xff\x00", b"b", b"\x00"]
            {
                assert_eq!(inside(key), key.starts_with(prefix), "{key:?} and {prefix:?}");
            }
        }
        assert!(space.range(&[0; 513]).is_err());
    }

    #[test]
    fn long_keys_are_kept_apart_and_have_their_prefix() {
        let space = Namespace::default();
        let (a, b) = (Key::new(&space, &[b'a'; 513]), Key::new(&space, &[b'a'; 514]));
        assert_ne!(a, b);
        assert_eq!(a.as_bytes().len(), 1 + 512 + 32);
        assert_eq!(a.as_bytes()[..513], *Key::new(&space, &[b'a'; 512]).as_bytes());
        assert_eq!(a.shown(), "a".repeat(80));
    }

    /// Processes of different versions tell each other about slots.
    #[test]
    fn slots_stay_what_they_are() {
        let slot = |key: &[u8]| Key::new(&Namespace::default(), key).slot();
        assert_eq!([slot(b""), slot(b"a"), slot(b"user:1")], [0x5813, 0x5d2d, 0x8c3f]);
    }
}
