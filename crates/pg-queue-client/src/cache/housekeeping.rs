//! Giving back the space of what has expired, and keeping a table within a size.

use std::{convert::Infallible, time::Duration};

use pg_queue_core::cache::{self, CacheError, Survey, Walk};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use super::Cache;
use crate::at_hand::Connection;

/// How often a table is walked through: more often when much is removed, less often when little is.
const MOST_OFTEN: Duration = Duration::from_secs(5);
const LEAST_OFTEN: Duration = Duration::from_secs(60);

/// How long it takes a rest for each step, as a multiple of what the step took: no more than a tenth of the time is used.
const REST: u32 = 9;

/// From so many removed rows on the table is vacuumed at once, if they are more than a tenth of it. Autovacuum comes for the others.
const WORTH_VACUUMING: u64 = 1000;

/// How a table is looked after.
#[derive(Debug, Clone, Copy, Default)]
pub struct Housekeeping {
    max_bytes: Option<u64>,
}

impl Housekeeping {
    /// Removes what has expired, and nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// When the values of a table take more than this, those that were set the longest ago are removed (of those that slide, those
    /// that were read the longest ago), until the others take nine tenths of it. Counted as stored, keys included, with 100 bytes
    /// for each value; its file and its index are about twice as long at worst.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }
}

/// What looking after a table has done, and found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TidiedUp {
    /// How many values had expired, and are removed.
    pub expired: u64,
    /// How many others were removed, because it held too much.
    pub evicted: u64,
    /// How many values it holds.
    pub values: u64,
    /// How many bytes they take, about.
    pub bytes: u64,
}

impl Cache {
    /// Walks through this cache's table once, in short steps: of all namespaces, since they share it.
    ///
    /// # Errors
    /// The database failed; what was removed until then stays removed.
    pub async fn tidy_up(&self, housekeeping: Housekeeping) -> Result<TidiedUp, CacheError> {
        let mut survey = self.walk(None).await?;
        let mut expired = survey.expired;
        if let Some(max) = housekeeping.max_bytes.filter(|max| survey.bytes > *max)
            && let Some(before) = cut(&mut survey, max)
        {
            survey = self.walk(Some(before)).await?;
            expired += survey.expired;
        }
        let Survey { evicted, values, bytes, .. } = survey;
        self.inner.statistics.evicted(evicted);
        let gone = expired + evicted;
        if gone >= WORTH_VACUUMING && gone * 10 > values {
            let mut link = self.inner.shared.acquire().await?;
            link.in_no_transaction(async |connection| cache::vacuum(connection, self.table()).await).await?;
        }
        Ok(TidiedUp { expired, evicted, values, bytes })
    }

    /// Looks after this cache's table for as long as this future is polled: every minute, or up to every five seconds when much
    /// expires, and in a tenth of the time at most. For one process, or a few: each does all of the work.
    ///
    /// ```no_run
    /// # fn example(mgr: pg_queue_client::PgQueue) {
    /// use pg_queue_client::Housekeeping;
    /// let cache = mgr.cache.clone();
    /// tokio::spawn(async move { cache.keep_house(Housekeeping::new().max_bytes(512 << 20)).await });
    /// # }
    /// ```
    pub async fn keep_house(&self, housekeeping: Housekeeping) -> Infallible {
        let mut every = LEAST_OFTEN;
        loop {
            match self.tidy_up(housekeeping).await {
                Ok(TidiedUp { expired, evicted, values, .. }) => {
                    let much = (expired + evicted) * 5 > values && expired + evicted > WORTH_VACUUMING;
                    every = if much { every / 2 } else { every * 2 }.clamp(MOST_OFTEN, LEAST_OFTEN);
                }
                Err(error) => tracing::warn!(%error, "the cache could not be tidied up"),
            }
            sleep(every).await;
        }
    }

    async fn walk(&self, evicts_before: Option<i64>) -> Result<Survey, CacheError> {
        let mut survey = Survey::default();
        let mut connection = Connection::acquire(&self.inner.shared).await?;
        let begin = async |connection: &mut PgConnection| Walk::begin(connection, self.table(), evicts_before).await;
        let mut walk = connection.run(begin).await?;
        loop {
            let began = Instant::now();
            let more = connection.run(async |connection| walk.step(connection, &mut survey).await).await?;
            connection.put_back();
            if !more {
                return Ok(survey);
            }
            sleep(began.elapsed() * REST).await;
            connection = Connection::acquire(&self.inner.shared).await?;
        }
    }
}

/// The moment before which values are to go, so that nine tenths of `max` are left, if they are equally long.
fn cut(survey: &mut Survey, max: u64) -> Option<i64> {
    survey.used.sort_unstable();
    let keeps = max.saturating_mul(9) / 10;
    let gone = u128::from(survey.bytes - keeps) * survey.used.len() as u128 / u128::from(survey.bytes);
    survey.used.get(usize::try_from(gone).ok()?).or(survey.used.last()).copied()
}
