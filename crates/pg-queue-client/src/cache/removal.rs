//! Removing values.

use pg_queue_core::cache::{self, CacheError, Key, Removed};
use serde::de::DeserializeOwned;
use sqlx::PgConnection;

use super::{Cache, CacheKey};
use crate::at_hand::Connection;

impl Cache {
    /// Removes the value under `key`. Answers whether there was one that had not expired. Whatever is being loaded for it at the
    /// moment is not stored.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete(&self, key: impl CacheKey) -> Result<bool, CacheError> {
        Ok(self.delete_many([key]).await? > 0)
    }

    /// Removes the values under these keys. Answers how many there were.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_many(&self, keys: impl IntoIterator<Item: CacheKey>) -> Result<u64, CacheError> {
        let keys: Vec<Key> = keys.into_iter().map(|key| self.key(key.as_key())).collect();
        let wanted: Vec<&Key> = keys.iter().collect();
        let mut removed = 0;
        for part in wanted.chunks(1000) {
            let delete = async |connection: &mut PgConnection| cache::delete(connection, self.table(), part).await;
            removed += self.write(part.iter().copied(), delete).await?;
        }
        Ok(removed)
    }

    /// Removes the value under `key` and answers it: of several who call this at the same time one gets it.
    ///
    /// # Errors
    /// The value is not a `T`, and is gone, or the database failed.
    pub async fn get_and_delete<T: DeserializeOwned>(&self, key: impl CacheKey) -> Result<Option<T>, CacheError> {
        let key = self.key(key.as_key());
        let take = async |connection: &mut PgConnection| cache::take(connection, self.table(), &key).await;
        let taken = self.write([&key], take).await?;
        taken.map(|bytes| cache::decode(&key, &bytes)).transpose()
    }

    /// Removes the values of this namespace whose keys begin with `prefix`. Answers how many there were. In steps, so that no
    /// statement takes long: what is set meanwhile may stay.
    ///
    /// # Errors
    /// The prefix is longer than 512 bytes, or the database failed; what was removed until then stays removed.
    pub async fn delete_by_prefix(&self, prefix: impl CacheKey) -> Result<u64, CacheError> {
        self.in_steps(Those::Beginning(prefix.as_key())).await
    }

    /// Removes the values of this namespace that have this tag. Answers how many there were. In steps, as
    /// [`delete_by_prefix`](Self::delete_by_prefix).
    ///
    /// # Errors
    /// The database failed; what was removed until then stays removed.
    pub async fn delete_by_tag(&self, tag: &str) -> Result<u64, CacheError> {
        self.in_steps(Those::Tagged(tag)).await
    }

    /// Removes all values of this namespace. Answers how many there were.
    ///
    /// # Errors
    /// The database failed; what was removed until then stays removed.
    pub async fn clear(&self) -> Result<u64, CacheError> {
        self.delete_by_prefix(b"").await
    }

    async fn in_steps(&self, those: Those<'_>) -> Result<u64, CacheError> {
        let (table, namespace) = (self.table(), &self.namespace);
        let mut connection = Connection::acquire(&self.inner.shared).await?;
        let mut values = 0;
        loop {
            let step = async |connection: &mut PgConnection| match those {
                Those::Beginning(prefix) => cache::delete_prefix(connection, table, namespace, prefix).await,
                Those::Tagged(tag) => cache::delete_tagged(connection, table, namespace, tag).await,
            };
            let removed: Result<Removed, CacheError> = connection.run(step).await;
            self.everything_changed();
            let removed = removed?;
            values += removed.values;
            if !removed.more {
                connection.put_back();
                return Ok(values);
            }
        }
    }
}

/// Which values are removed in steps.
#[derive(Clone, Copy)]
enum Those<'a> {
    /// Those whose keys begin so.
    Beginning(&'a [u8]),
    /// Those that have this tag.
    Tagged(&'a str),
}
