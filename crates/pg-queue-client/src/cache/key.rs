//! What can be a key.

use std::{borrow::Cow, rc::Rc, sync::Arc};

/// What can be a key: text, or bytes, however many.
pub trait CacheKey {
    /// Its bytes.
    fn as_key(&self) -> &[u8];
}

impl CacheKey for str {
    fn as_key(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl CacheKey for String {
    fn as_key(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl CacheKey for [u8] {
    fn as_key(&self) -> &[u8] {
        self
    }
}

impl<const N: usize> CacheKey for [u8; N] {
    fn as_key(&self) -> &[u8] {
        self
    }
}

impl CacheKey for Vec<u8> {
    fn as_key(&self) -> &[u8] {
        self
    }
}

impl<K: CacheKey + ToOwned + ?Sized> CacheKey for Cow<'_, K> {
    fn as_key(&self) -> &[u8] {
        (**self).as_key()
    }
}

macro_rules! pointers {
    ($($pointer:ty),+) => {
        $(impl<K: CacheKey + ?Sized> CacheKey for $pointer {
            fn as_key(&self) -> &[u8] {
                (**self).as_key()
            }
        })+
    };
}

pointers!(&K, Box<K>, Rc<K>, Arc<K>);
