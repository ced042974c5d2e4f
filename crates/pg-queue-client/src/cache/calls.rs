//! What shares statements: reading, setting, adding.

use std::{collections::HashMap, sync::Arc};

use pg_queue_core::{
    DatabaseError,
    cache::{self, Addition, CacheTable, Entry, Found, Key},
};
use sqlx::PgConnection;

use super::{
    lane::{Call, Lane},
    limits::Allow,
};
use crate::shared::Shared;

/// The lanes of one table.
pub(super) struct Lanes {
    pub(super) table: CacheTable,
    pub(super) get: Arc<Lane<Get>>,
    pub(super) set: Arc<Lane<Set>>,
    pub(super) add: Arc<Lane<Add>>,
    pub(super) allow: Arc<Lane<Allow>>,
}

impl Lanes {
    pub(super) fn new(shared: &Arc<Shared>, table: CacheTable) -> Self {
        let (get, set) = (Lane::new(shared, &table), Lane::new(shared, &table));
        let (add, allow) = (Lane::new(shared, &table), Lane::new(shared, &table));
        Self { table, get, set, add, allow }
    }
}

/// Reads the value of a key.
pub(super) struct Get(pub(super) Key);

impl Call for Get {
    type Answer = Option<Arc<Found>>;

    fn bytes(&self) -> usize {
        // What is to come is not known; so many values of half a megabyte are no more than a statement should bring.
        8 << 10
    }

    async fn send(
        calls: &[Self],
        connection: &mut PgConnection,
        table: &CacheTable,
    ) -> Result<Vec<Self::Answer>, DatabaseError> {
        let (found, keys) = match calls {
            // Not by arrays, which would take longer.
            [Self(key)] => (vec![cache::get(&mut *connection, table, key).await?.map(Arc::new)], vec![key]),
            calls => {
                // Many ask for the same: a value comes once.
                let mut places: HashMap<&Key, usize> = HashMap::with_capacity(calls.len());
                let mut keys = Vec::with_capacity(calls.len());
                for Self(key) in calls {
                    places.entry(key).or_insert_with(|| {
                        keys.push(key);
                        keys.len() - 1
                    });
                }
                let found = cache::get_many(&mut *connection, table, &keys).await?;
                let found: Vec<_> = found.into_iter().map(|it| it.map(Arc::new)).collect();
                let asked = calls.iter().map(|Self(key)| places.get(key).and_then(|at| found[*at].clone())).collect();
                slide(connection, table, keys.iter().copied().zip(&found)).await?;
                return Ok(asked);
            }
        };
        slide(connection, table, keys.iter().copied().zip(&found)).await?;
        Ok(found)
    }
}

/// Values that slide live on because they were read. Those who read them wait for it: one in eight times at most.
pub(super) async fn slide<'k>(
    connection: &mut PgConnection,
    table: &CacheTable,
    found: impl Iterator<Item = (&'k Key, &'k Option<Arc<Found>>)>,
) -> Result<(), DatabaseError> {
    let slides = |found: &Option<Arc<Found>>| found.as_ref().is_some_and(|found| found.is_to_slide());
    let keys: Vec<&Key> = found.filter(|(_, found)| slides(found)).map(|(key, _)| key).collect();
    if keys.is_empty() { Ok(()) } else { cache::slide(connection, table, &keys).await }
}

/// Sets a value without tags.
pub(super) struct Set(pub(super) Entry);

impl Call for Set {
    type Answer = ();

    fn bytes(&self) -> usize {
        self.0.value().len() + 64
    }

    async fn send(calls: &[Self], connection: &mut PgConnection, table: &CacheTable) -> Result<Vec<()>, DatabaseError> {
        match calls {
            [Self(entry)] => cache::set(connection, table, entry, &[]).await?,
            calls => {
                let entries: Vec<&Entry> = calls.iter().map(|Self(entry)| entry).collect();
                cache::set_many(connection, table, &entries).await?;
            }
        }
        Ok(vec![(); calls.len()])
    }
}

/// Adds to a counter.
pub(super) struct Add(pub(super) Addition);

impl Call for Add {
    type Answer = Option<i64>;

    fn bytes(&self) -> usize {
        64
    }

    async fn send(
        calls: &[Self],
        connection: &mut PgConnection,
        table: &CacheTable,
    ) -> Result<Vec<Option<i64>>, DatabaseError> {
        let additions: Vec<&Addition> = calls.iter().map(|Self(addition)| addition).collect();
        cache::add(connection, table, &additions).await
    }
}
