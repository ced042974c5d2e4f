//! Locks that one caller among all processes holds.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pg_queue_core::cache::{self, Key, LockError, LockHolder, Ttl};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout_at},
};

use super::{Cache, CacheKey};
use crate::{at_hand::Connection, shared::Shared};

/// How often somebody who waits for a lock tries again.
const FIRST_TRY: Duration = Duration::from_millis(5);
const LAST_TRY: Duration = Duration::from_millis(100);

/// A lock that is held, until its time is over or it is dropped.
///
/// What it guards is to be written with its [fencing number](Self::fence), and to refuse a lower one than it has seen
/// (`update .. set fence = $1 where fence <= $1`). Without that no lock of this kind, in whatever server, keeps two from writing:
/// a process that was stopped for longer than the lock's time goes on as if it held it.
#[derive(Debug)]
pub struct Lock {
    shared: Arc<Shared>,
    name: Key,
    holder: LockHolder,
    fence: i64,
    ttl: Duration,
    /// Counted from when it was asked for: the server counts from later on.
    until: Instant,
    released: bool,
}

/// A lock whose time was over before it was renewed: somebody else may hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lock was lost: its time was over before it could be renewed")]
pub struct LockLost;

impl Cache {
    /// Takes a lock for so long, if nobody holds it. Its name is apart from the keys of values.
    ///
    /// One holder at a time, by the database's clock, among all processes: each gets a higher [fencing number](Lock::fence) than
    /// all before, also after a crash of the server (locks are in a table with a log) and, with a synchronous standby, after a
    /// failover. It costs a commit on the disk.
    ///
    /// # Errors
    /// The time to live cannot be used, or the database failed.
    pub async fn lock(&self, name: impl CacheKey, ttl: impl Into<Ttl>) -> Result<Option<Lock>, LockError> {
        self.acquire(&self.key(name.as_key()), ttl.into()).await
    }

    /// The same, but waits for the lock, for so long at most. Nobody is told when it is free: it is tried every 100 ms, and more often at
    /// first, so that those who wait have it in no order.
    ///
    /// # Errors
    /// The time to live cannot be used, or the database failed.
    pub async fn lock_within(
        &self,
        name: impl CacheKey,
        ttl: impl Into<Ttl>,
        wait: Duration,
    ) -> Result<Option<Lock>, LockError> {
        let (name, ttl, asked) = (self.key(name.as_key()), ttl.into(), Instant::now());
        let mut pause = FIRST_TRY;
        loop {
            if let Some(lock) = self.acquire(&name, ttl).await? {
                return Ok(Some(lock));
            }
            let left = wait.saturating_sub(asked.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            // Not all at the same moment.
            sleep(pause.mul_f64(0.5 + rand::random::<f64>()).min(left)).await;
            pause = (pause * 2).min(LAST_TRY);
        }
    }

    async fn acquire(&self, name: &Key, ttl: Ttl) -> Result<Option<Lock>, LockError> {
        let checked = ttl.checked()?;
        let shared = Arc::clone(&self.inner.shared);
        let until = Instant::now() + checked;
        // Made before it is asked for, so that it is given back also by a caller that goes away meanwhile.
        let mut lock = Lock {
            shared,
            name: name.clone(),
            holder: LockHolder::random(),
            fence: 0,
            ttl: checked,
            until,
            released: false,
        };
        let (schema, holder) = (&self.inner.shared.schema, lock.holder);
        let mut connection = Connection::acquire(&self.inner.shared).await?;
        let acquired =
            connection.run(async |connection| cache::acquire_lock(connection, schema, name, holder, ttl).await).await?;
        connection.put_back();
        match acquired {
            Some(fence) => lock.fence = fence,
            None => lock.released = true,
        }
        Ok((!lock.released).then_some(lock))
    }
}

impl Lock {
    /// The fencing number: higher than that of everybody who has held this lock before.
    #[must_use]
    pub fn fence(&self) -> i64 {
        self.fence
    }

    /// Whether its time is not over, by this process's clock, which stands still while the machine sleeps.
    #[must_use]
    pub fn is_held(&self) -> bool {
        Instant::now() < self.until
    }

    /// Holds it for its whole time again, from now on.
    ///
    /// # Errors
    /// It was lost, or the database failed, which leaves it held for as long as it was.
    pub async fn renew(&mut self) -> Result<(), RenewError> {
        let until = Instant::now() + self.ttl;
        let (schema, name, holder, ttl) = (&self.shared.schema, &self.name, self.holder, self.ttl);
        let mut connection = Connection::acquire(&self.shared).await.map_err(LockError::from)?;
        let renewed = connection
            .run(async |connection| cache::renew_lock(connection, schema, name, holder, ttl).await)
            .await
            .map_err(LockError::from)?;
        connection.put_back();
        if renewed {
            self.until = until;
            return Ok(());
        }
        // Somebody else's now, or free.
        self.until = Instant::now();
        self.released = true;
        Err(RenewError::Lost(LockLost))
    }

    /// Does `work`, and renews the lock meanwhile, each time that a third of its time has passed. When it is lost, `work` is dropped.
    ///
    /// # Errors
    /// The lock was lost: it was somebody else's, or could not be renewed in its time.
    pub async fn hold<T>(&mut self, work: impl Future<Output = T>) -> Result<T, LockLost> {
        let mut work = std::pin::pin!(work);
        loop {
            if !self.is_held() {
                return Err(LockLost);
            }
            let next = self.ttl / 3;
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = sleep(next) => {}
            }
            let until = self.until;
            let mut renewing = std::pin::pin!(timeout_at(until.into(), self.renew()));
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                renewed = &mut renewing => match renewed {
                    Ok(Ok(())) => {}
                    Ok(Err(RenewError::Lost(lost))) => return Err(lost),
                    Ok(Err(RenewError::Failed(error))) => tracing::warn!(%error, "a lock could not be renewed: it is tried again"),
                    Err(_) => return Err(LockLost),
                },
            }
        }
    }

    /// Gives it back. Answers whether it was still held.
    ///
    /// # Errors
    /// The database failed; then it ends after its time.
    pub async fn release(mut self) -> Result<bool, LockError> {
        self.released = true;
        Ok(release(&self.shared, &self.name, self.holder).await?)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        // Without a runtime it ends by itself, after its time.
        if let Ok(runtime) = Handle::try_current() {
            let (shared, name, holder) = (Arc::clone(&self.shared), self.name.clone(), self.holder);
            runtime.spawn(async move {
                if let Err(error) = release(&shared, &name, holder).await {
                    tracing::warn!(%error, "a lock could not be given back: it ends after its time");
                }
            });
        }
    }
}

async fn release(shared: &Arc<Shared>, name: &Key, holder: LockHolder) -> Result<bool, pg_queue_core::DatabaseError> {
    let mut connection = Connection::acquire(shared).await?;
    let schema = &shared.schema;
    let released =
        connection.run(async |connection| cache::release_lock(connection, schema, name, holder).await).await?;
    connection.put_back();
    Ok(released)
}

/// Why a lock was not renewed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// Its time was over.
    #[error(transparent)]
    Lost(#[from] LockLost),
    /// It may still be held.
    #[error(transparent)]
    Failed(#[from] LockError),
}
