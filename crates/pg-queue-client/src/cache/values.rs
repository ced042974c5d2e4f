//! Reading and setting values.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use pg_queue_core::{
    Commit, DatabaseError,
    cache::{self, CacheError, Entry, Expiry, Found, Key, Version},
};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::PgConnection;

use super::{
    Cache, CacheKey,
    calls::{Get, Set, slide},
    ears,
    tier::Ticket,
};
use crate::at_hand::Connection;

/// How many keys one statement is about at most, and how many bytes of values it carries.
const MOST_KEYS: usize = 1000;
const MOST_BYTES: usize = 8 << 20;

/// A value and which of those that its key has had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// What [`Cache::compare_and_swap`] takes.
    pub version: Version,
}

/// How long a value has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeLeft {
    /// So long.
    Some(std::time::Duration),
    /// It does not expire by itself.
    Unlimited,
}

impl Cache {
    /// The value under `key`; `None` when there is none or it has expired.
    ///
    /// # Errors
    /// The value is not a `T`, or the database failed.
    pub async fn get<T: DeserializeOwned>(&self, key: impl CacheKey) -> Result<Option<T>, CacheError> {
        let key = self.key(key.as_key());
        match self.look(&key).await? {
            Some(found) if !found.is_stale() => self.decoded(&key, &found),
            _ => Ok(None),
        }
    }

    /// The same, with its version.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub async fn get_versioned<T: DeserializeOwned>(
        &self,
        key: impl CacheKey,
    ) -> Result<Option<Versioned<T>>, CacheError> {
        let key = self.key(key.as_key());
        let Some(found) = self.look(&key).await?.filter(|found| !found.is_stale()) else { return Ok(None) };
        Ok(self.decoded(&key, &found)?.map(|value| Versioned { value, version: found.version }))
    }

    /// The bytes of the value under `key`: those of [`set_bytes`](Self::set_bytes), or the JSON of another value.
    ///
    /// # Errors
    /// The database failed.
    pub async fn get_bytes(&self, key: impl CacheKey) -> Result<Option<Vec<u8>>, CacheError> {
        let found = self.look(&self.key(key.as_key())).await?.filter(|found| !found.is_stale());
        Ok(found.map(|found| Arc::try_unwrap(found).map_or_else(|shared| shared.value.clone(), |own| own.value)))
    }

    /// The values under these keys, position by position.
    ///
    /// # Errors
    /// A value is not a `T`, or the database failed.
    pub async fn get_many<T: DeserializeOwned>(
        &self,
        keys: impl IntoIterator<Item: CacheKey>,
    ) -> Result<Vec<Option<T>>, CacheError> {
        let keys: Vec<Key> = keys.into_iter().map(|key| self.key(key.as_key())).collect();
        let found = self.look_many(&keys).await?;
        let decoded = keys.iter().zip(found).map(|(key, found)| match found {
            Some(found) if !found.is_stale() => self.decoded(key, &found),
            _ => Ok(None),
        });
        decoded.collect()
    }

    /// How long the value under `key` has left; `None` when there is none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn ttl(&self, key: impl CacheKey) -> Result<Option<TimeLeft>, CacheError> {
        let key = self.key(key.as_key());
        let found = self.run(async |connection| cache::get(connection, self.table(), &key).await).await?;
        Ok(found
            .filter(|found| !found.is_stale())
            .map(|found| found.left().map_or(TimeLeft::Unlimited, TimeLeft::Some)))
    }

    /// Sets a value that lives for `expiry`, in place of one that is there: seconds, a `Duration`, or an [`Expiry`].
    ///
    /// # Errors
    /// The value does not serialize or is longer than 64 MiB, the time to live cannot be used, or the database failed.
    pub async fn set(
        &self,
        key: impl CacheKey,
        value: &(impl Serialize + ?Sized),
        expiry: impl Into<Expiry>,
    ) -> Result<(), CacheError> {
        self.put(Entry::json(self.key(key.as_key()), value, expiry.into())?).await
    }

    /// Sets a value that expires at this moment, on the database's clock.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub async fn set_with_expiry(
        &self,
        key: impl CacheKey,
        value: &(impl Serialize + ?Sized),
        expires_at: SystemTime,
    ) -> Result<(), CacheError> {
        self.set(key, value, Expiry::At(expires_at)).await
    }

    /// Sets a value of bytes, as they are.
    ///
    /// # Errors
    /// There are more than 64 MiB, the time to live cannot be used, or the database failed.
    pub async fn set_bytes(
        &self,
        key: impl CacheKey,
        value: impl Into<Vec<u8>>,
        expiry: impl Into<Expiry>,
    ) -> Result<(), CacheError> {
        self.put(Entry::new(self.key(key.as_key()), value.into(), expiry.into())?).await
    }

    /// Sets a value that can be removed by each of these tags ([`delete_by_tag`](Self::delete_by_tag)). It costs more than
    /// [`set`](Self::set): the tags are kept in an index, and it shares no statement with others.
    ///
    /// # Errors
    /// Those of [`set`](Self::set); a tag that holds a NUL is refused by the database.
    pub async fn set_tagged(
        &self,
        key: impl CacheKey,
        value: &(impl Serialize + ?Sized),
        expiry: impl Into<Expiry>,
        tags: impl IntoIterator<Item: Into<String>>,
    ) -> Result<(), CacheError> {
        let entry = Entry::json(self.key(key.as_key()), value, expiry.into())?;
        let tags: Vec<String> = tags.into_iter().map(Into::into).collect();
        self.write([entry.key()], async |connection| cache::set(connection, self.table(), &entry, &tags).await).await
    }

    /// Sets values that live equally long, in statements of up to a thousand. Of several for one key the last one counts.
    ///
    /// # Errors
    /// Those of [`set`](Self::set). When the database fails, some may be set.
    pub async fn set_many<K: CacheKey, V: Serialize>(
        &self,
        values: impl IntoIterator<Item = (K, V)>,
        expiry: impl Into<Expiry>,
    ) -> Result<(), CacheError> {
        let expiry = expiry.into();
        let entry = |(key, value): (K, V)| Entry::json(self.key(key.as_key()), &value, expiry);
        let entries = values.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let mut rest = entries.iter().peekable();
        while rest.peek().is_some() {
            let (mut part, mut bytes) = (Vec::new(), 0);
            while let Some(next) = rest
                .next_if(|next| part.is_empty() || part.len() < MOST_KEYS && bytes + next.value().len() <= MOST_BYTES)
            {
                bytes += next.value().len();
                part.push(next);
            }
            let keys: Vec<&Key> = part.iter().map(|entry| entry.key()).collect();
            self.write(keys, async |connection| cache::set_many(connection, self.table(), &part).await).await?;
        }
        Ok(())
    }

    /// Sets a value if there is none. Answers whether it was set.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub async fn set_if_absent(
        &self,
        key: impl CacheKey,
        value: &(impl Serialize + ?Sized),
        expiry: impl Into<Expiry>,
    ) -> Result<bool, CacheError> {
        let entry = Entry::json(self.key(key.as_key()), value, expiry.into())?;
        self.write([entry.key()], async |connection| {
            cache::set_if_absent(connection, self.table(), &entry, Commit::LoseOnCrash).await
        })
        .await
    }

    /// Sets a value if the one that is there is still this version. Answers with the new version, or `None` when it was not.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub async fn compare_and_swap(
        &self,
        key: impl CacheKey,
        version: Version,
        value: &(impl Serialize + ?Sized),
        expiry: impl Into<Expiry>,
    ) -> Result<Option<Version>, CacheError> {
        let entry = Entry::json(self.key(key.as_key()), value, expiry.into())?;
        let swap = async |connection: &mut PgConnection| {
            cache::compare_and_swap(connection, self.table(), &entry, version).await
        };
        let swapped = self.write([entry.key()], swap).await?;
        Ok(swapped.then(|| entry.version()))
    }

    /// Gives the value under `key` another time to live, from now on. Answers whether there is one.
    ///
    /// # Errors
    /// The time to live cannot be used, or the database failed.
    pub async fn touch(&self, key: impl CacheKey, expiry: impl Into<Expiry>) -> Result<bool, CacheError> {
        let (key, expiry) = (self.key(key.as_key()), expiry.into());
        self.write([&key], async |connection| cache::touch(connection, self.table(), &key, expiry).await).await
    }

    pub(super) async fn put(&self, entry: Entry) -> Result<(), CacheError> {
        let key = entry.key().clone();
        let set = self.lanes().set.call(Set(entry)).await;
        self.changed([&key]);
        set
    }

    /// What is under a key, stale or not.
    pub(super) async fn look(&self, key: &Key) -> Result<Option<Arc<Found>>, CacheError> {
        let Some((tier, news)) = self.tier.as_ref().zip(self.inner.news.get()) else {
            let found = self.lanes().get.call(Get(key.clone())).await?;
            self.inner.statistics.asked(is_hit(&found));
            return Ok(found);
        };
        if let Some(found) = tier.get(key) {
            self.inner.statistics.local();
            return Ok(Some(found));
        }
        ears::open(&self.inner, news);
        let ticket = tier.ticket(key);
        let found = self.lanes().get.call(Get(key.clone())).await?;
        self.inner.statistics.asked(is_hit(&found));
        if let Some(found) = &found {
            tier.keep(key, found, &ticket);
        }
        Ok(found)
    }

    async fn look_many(&self, keys: &[Key]) -> Result<Vec<Option<Arc<Found>>>, CacheError> {
        let mut found: HashMap<&Key, Option<Arc<Found>>> = HashMap::with_capacity(keys.len());
        let mut wanted: Vec<(&Key, Option<Ticket>)> = Vec::new();
        for key in keys {
            found.entry(key).or_insert_with(|| {
                let kept = self.tier.as_ref().and_then(|tier| tier.get(key));
                if kept.is_some() {
                    self.inner.statistics.local();
                } else {
                    wanted.push((key, self.tier.as_ref().map(|tier| tier.ticket(key))));
                }
                kept
            });
        }
        if let Some(news) = self.tier.as_ref().and(self.inner.news.get()) {
            ears::open(&self.inner, news);
        }
        for part in wanted.chunks(MOST_KEYS) {
            let part_keys: Vec<&Key> = part.iter().map(|(key, _)| *key).collect();
            let look = async |connection: &mut PgConnection| {
                let values = cache::get_many(&mut *connection, self.table(), &part_keys).await?;
                let values: Vec<_> = values.into_iter().map(|value| value.map(Arc::new)).collect();
                slide(connection, self.table(), part_keys.iter().copied().zip(&values)).await?;
                Ok::<_, CacheError>(values)
            };
            for ((key, ticket), value) in part.iter().zip(self.run(look).await?) {
                self.inner.statistics.asked(is_hit(&value));
                if let (Some(tier), Some(ticket), Some(value)) = (&self.tier, ticket, &value) {
                    tier.keep(key, value, ticket);
                }
                found.insert(key, value);
            }
        }
        Ok(keys.iter().map(|key| found.get(key).cloned().flatten()).collect())
    }

    fn decoded<T: DeserializeOwned>(&self, key: &Key, found: &Found) -> Result<Option<T>, CacheError> {
        match found.decode(key) {
            Ok(value) => Ok(Some(value)),
            Err(error @ CacheError::Decode { .. }) if self.lenient => {
                tracing::debug!(%error, "a value of another type is as good as none");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Does something over a connection at hand.
    pub(super) async fn run<T, E: From<DatabaseError> + Into<CacheError>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, CacheError> {
        let mut connection = Connection::acquire(&self.inner.shared).await?;
        let done = connection.run(work).await.map_err(Into::into)?;
        connection.put_back();
        Ok(done)
    }

    /// The same, after which these keys may have changed, also if it failed: nobody knows what a lost connection has done.
    pub(super) async fn write<'k, T, E: From<DatabaseError> + Into<CacheError>>(
        &self,
        keys: impl IntoIterator<Item = &'k Key>,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, CacheError> {
        let done = self.run(work).await;
        self.changed(keys);
        done
    }
}

fn is_hit(found: &Option<Arc<Found>>) -> bool {
    found.as_ref().is_some_and(|found| !found.is_stale())
}
