//! Loading a missing value: by one caller at a time, in this process and among all.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use pg_queue_core::cache::{self, CacheError, Entry, Expiry, Found, Key, LoadToken, Peeked, Ttl, Version};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    runtime::Handle,
    select,
    time::{sleep, timeout_at},
};

use super::{
    Cache, CacheKey,
    turn::{Loaded, Turn},
};

/// How often a caller looks whether another process has loaded: quickly at first.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(50);

/// How a value is loaded when it is missing.
///
/// ```
/// use std::time::Duration;
/// use pg_queue_client::LoadOptions;
/// let options = LoadOptions::new(300).jitter(0.1).stale_for(Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    ttl: Ttl,
    missing: Ttl,
    stale: Duration,
    jitter: f64,
    early: Duration,
    wait: Duration,
    stands: Duration,
}

impl LoadOptions {
    /// What was loaded lives for `ttl`.
    #[must_use]
    pub fn new(ttl: impl Into<Ttl>) -> Self {
        let ttl = ttl.into();
        Self {
            ttl,
            missing: ttl,
            stale: Duration::ZERO,
            jitter: 0.0,
            early: Duration::ZERO,
            wait: Duration::from_secs(30),
            stands: Duration::from_secs(10),
        }
    }

    /// For so long after its time a value is still shown while another one is loaded: one caller loads and waits for that, all
    /// others take the old one. Default: not at all, they wait.
    #[must_use]
    pub fn stale_for(mut self, stale: Duration) -> Self {
        self.stale = stale;
        self
    }

    /// Shortens the time to live by a random part of up to this share of it, so that values which were loaded together do not
    /// expire together. From 0, the default, to 1.
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = share.clamp(0.0, 1.0);
        self
    }

    /// Lets a caller load a value anew by chance before it expires, the more probably the sooner it does: so that a hot key is as a
    /// rule loaded before anybody misses it. `load` is how long loading takes, about. Default: zero, never.
    #[must_use]
    pub fn early(mut self, load: Duration) -> Self {
        self.early = load;
        self
    }

    /// How long [`find_or_load`](Cache::find_or_load) remembers that there is nothing. Default: as long as a value lives.
    #[must_use]
    pub fn missing_for(mut self, ttl: impl Into<Ttl>) -> Self {
        self.missing = ttl.into();
        self
    }

    /// How long a caller waits while another one loads. Default: 30 s.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// After how long another process loads when the one that did has died. A process that lives keeps its right to load for as
    /// long as it takes. Default: 10 s.
    #[must_use]
    pub fn take_over_after(mut self, stands: Duration) -> Self {
        self.stands = stands;
        self
    }

    fn checked(&self) -> Result<(), CacheError> {
        self.ttl.checked()?;
        self.missing.checked()?;
        Ok(())
    }

    fn expiry(&self, ttl: Ttl) -> Result<Expiry, CacheError> {
        let full = ttl.checked()?;
        let shortened = full.mul_f64(1.0 - self.jitter * rand::random::<f64>());
        Ok(Expiry::After(shortened.max(Duration::from_micros(1)).into()))
    }

    /// Whether this caller is to load a value that has so long left: with a chance that grows as its time runs out (Vattani and
    /// others, "Optimal probabilistic cache stampede prevention").
    fn is_early(&self, found: &Found) -> bool {
        let Some(left) = found.left().filter(|_| !self.early.is_zero()) else { return false };
        // From above zero to one.
        let chance = 1.0 - rand::random::<f64>();
        self.early.as_secs_f64() * -chance.ln() >= left.as_secs_f64()
    }
}

/// Why a value could not be had.
///
/// An error for whatever the loader fails with that can be printed, a `String` or a boxed error too. So the loader's error
/// is in the message, and not the [`source`](std::error::Error::source), which would have to be an error itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetOrSetError<E> {
    /// The loader failed.
    #[error("loading the value failed: {0:#}")]
    Load(E),
    /// Another caller has been loading for longer than this one wants to wait.
    #[error("another caller has been loading the value under {key:?} for more than {waited:?}")]
    Waited {
        /// The key, cut to a length that fits a log line.
        key: String,
        /// How long this caller has waited.
        waited: Duration,
    },
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl Cache {
    /// The value under `key` or, when there is none, what `load` answers, which is set for `ttl`.
    ///
    /// A value that is there but is not a `V`, such as one that an earlier version of the program has set, is loaded anew
    /// as well.
    ///
    /// One caller loads a key while the others wait for it, those of other processes too; when it fails, the next one loads.
    /// They wait for 30 s at most: [`get_or_load`](Self::get_or_load) sets that, and more. No connection is held while `load`
    /// runs. What was loaded while somebody set or deleted the key is answered, but not stored.
    ///
    /// # Errors
    /// `load` failed, somebody else's took too long, or a call of the cache failed. That what was loaded could not be stored
    /// is no error.
    pub async fn get_or_set<V, E, F, Fut>(
        &self,
        key: impl CacheKey,
        ttl: impl Into<Ttl>,
        load: F,
    ) -> Result<V, GetOrSetError<E>>
    where
        V: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        self.get_or_load(key, LoadOptions::new(ttl), load).await
    }

    /// The same, with options.
    ///
    /// # Errors
    /// Those of [`get_or_set`](Self::get_or_set).
    pub async fn get_or_load<V, E, F, Fut>(
        &self,
        key: impl CacheKey,
        options: LoadOptions,
        load: F,
    ) -> Result<V, GetOrSetError<E>>
    where
        V: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        self.through(self.key(key.as_key()), options, load, |_| options.ttl).await
    }

    /// The same for what may not exist: that there is nothing is remembered, too ([`missing_for`](LoadOptions::missing_for)). Stored
    /// as JSON's `null`, so that a `V` which is itself written like that is not told from nothing.
    ///
    /// # Errors
    /// Those of [`get_or_set`](Self::get_or_set).
    pub async fn find_or_load<V, E, F, Fut>(
        &self,
        key: impl CacheKey,
        options: LoadOptions,
        load: F,
    ) -> Result<Option<V>, GetOrSetError<E>>
    where
        V: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
    {
        let ttl = |value: &Option<V>| if value.is_some() { options.ttl } else { options.missing };
        self.through(self.key(key.as_key()), options, load, ttl).await
    }

    async fn through<V, E, F, Fut>(
        &self,
        key: Key,
        options: LoadOptions,
        load: F,
        ttl: impl Fn(&V) -> Ttl,
    ) -> Result<V, GetOrSetError<E>>
    where
        V: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        options.checked()?;
        let asked = Instant::now();
        let found = self.look(&key).await?;
        let shown: Option<(V, Version)> = match &found {
            Some(found) => usable(&key, found)?.map(|value| (value, found.version)),
            None => None,
        };
        let stale = found.as_ref().is_some_and(|found| found.is_stale());
        let early = found.as_ref().is_some_and(|found| !stale && options.is_early(found));
        let shown = match shown {
            Some((value, _)) if !stale && !early => return Ok(value),
            shown => shown,
        };
        let turn = Turn::new(&self.inner.loading, (self.durable, key.clone()));
        if let Some((value, version)) = shown {
            // Whoever has something to show does not wait.
            let Some(mut held) = turn.comes_at_once() else { return Ok(value) };
            return match self.claim(&key, options, Some(version)).await? {
                Some(claim) => self.load(claim, &mut held, options, load, ttl).await,
                None => Ok(value),
            };
        }
        let waited = || GetOrSetError::Waited { key: key.shown(), waited: asked.elapsed() };
        let mut held = timeout_at((asked + options.wait).into(), turn.comes()).await.map_err(|_| waited())?;
        // What was loaded for somebody else, if that was there after this call began.
        if let Some(loaded) = held.as_ref().filter(|loaded| loaded.there_after >= asked)
            && let Some(value) = usable(&key, &loaded.found)?
        {
            return Ok(value);
        }
        match self.claim_or_wait(&key, options, asked).await? {
            Waited::Claimed(claim) => self.load(claim, &mut held, options, load, ttl).await,
            Waited::Found(value, loaded) => {
                *held = Some(loaded);
                Ok(value)
            }
            Waited::TooLong => Err(waited()),
        }
    }

    /// The right to load, or the value that somebody else has loaded meanwhile.
    async fn claim_or_wait<V: DeserializeOwned>(
        &self,
        key: &Key,
        options: LoadOptions,
        asked: Instant,
    ) -> Result<Waited<V>, CacheError> {
        let mut pause = FIRST_LOOK;
        loop {
            let there_after = Instant::now();
            let Peeked { found, loading } =
                self.run(async |connection| cache::peek(connection, self.table(), key).await).await?;
            // One that is of no use is to be loaded anew.
            let mut instead_of = None;
            if let Some(found) = found {
                match usable(key, &found)? {
                    Some(value) if !found.is_stale() => {
                        return Ok(Waited::Found(value, Loaded { found, there_after }));
                    }
                    Some(_) => {}
                    None => instead_of = Some(found.version),
                }
            }
            if !loading && let Some(claim) = self.claim(key, options, instead_of).await? {
                return Ok(Waited::Claimed(claim));
            }
            if asked.elapsed() >= options.wait {
                return Ok(Waited::TooLong);
            }
            // Not all at the same moment.
            sleep(pause.mul_f64(0.5 + rand::random::<f64>()).min(options.wait.saturating_sub(asked.elapsed()))).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    async fn claim(
        &self,
        key: &Key,
        options: LoadOptions,
        instead_of: Option<Version>,
    ) -> Result<Option<Claim>, CacheError> {
        // Made before the claim is sent, so that it is given back also by a caller that goes away meanwhile.
        let mut claim = Claim { cache: self.clone(), key: key.clone(), token: LoadToken::random(), held: true };
        let token = claim.token;
        let claimed = self
            .run(async |connection| {
                cache::claim_load(connection, self.table(), key, token, options.stands, instead_of).await
            })
            .await;
        claim.held = !matches!(claimed, Ok(false));
        Ok(claimed?.then_some(claim))
    }

    async fn load<V, E, F, Fut>(
        &self,
        claim: Claim,
        held: &mut Option<Loaded>,
        options: LoadOptions,
        load: F,
        ttl: impl Fn(&V) -> Ttl,
    ) -> Result<V, GetOrSetError<E>>
    where
        V: Serialize,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        self.inner.statistics.loaded();
        let loaded = {
            let loading = async { load().await };
            let (mut loading, mut renewing) = (pin!(loading), pin!(claim.renew(options.stands)));
            select! {
                biased;
                loaded = &mut loading => loaded,
                () = &mut renewing => loading.await,
            }
        };
        let value = match loaded {
            Ok(value) => value,
            Err(error) => {
                claim.release().await;
                return Err(GetOrSetError::Load(error));
            }
        };
        let entry = match options.expiry(ttl(&value)).and_then(|expiry| Entry::json(claim.key.clone(), &value, expiry))
        {
            Ok(entry) => entry,
            Err(error) => {
                claim.release().await;
                return Err(error.into());
            }
        };
        let there_after = Instant::now();
        match claim.finish(&entry, options.stale).await {
            Ok(true) => *held = Some(Loaded { found: entry.into_found(), there_after }),
            // Somebody has set or deleted the key.
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "a value that was loaded could not be stored"),
        }
        Ok(value)
    }
}

/// How a caller that had no value has ended waiting.
enum Waited<V> {
    Claimed(Claim),
    Found(V, Loaded),
    TooLong,
}

/// The value, unless it is of another type: that is as good as none, or the key would fail until it expires.
fn usable<V: DeserializeOwned>(key: &Key, found: &Found) -> Result<Option<V>, CacheError> {
    match found.decode(key) {
        Ok(value) => Ok(Some(value)),
        Err(error @ CacheError::Decode { .. }) => {
            tracing::warn!(%error, "loading a cached value of another type anew");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The right to load a value, which is given back when this is dropped: by a caller that goes away, or panics.
struct Claim {
    cache: Cache,
    key: Key,
    token: LoadToken,
    held: bool,
}

impl Claim {
    /// Renews it again and again. Ends when it is lost.
    async fn renew(&self, stands: Duration) {
        loop {
            sleep(stands / 3).await;
            let (cache, key, token) = (&self.cache, &self.key, self.token);
            let renewed = cache
                .run(async |connection| cache::renew_load(connection, cache.table(), key, token, stands).await)
                .await;
            match renewed {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(%error, "the claim to load a value could not be renewed"),
            }
        }
    }

    async fn finish(mut self, entry: &Entry, stale: Duration) -> Result<bool, CacheError> {
        let (cache, token) = (self.cache.clone(), self.token);
        let finished = cache
            .write([entry.key()], async |connection| {
                cache::finish_load(connection, cache.table(), entry, stale, token).await
            })
            .await;
        // If that failed, nobody knows what was done; to give it back does no harm then.
        self.held = finished.is_err();
        finished
    }

    async fn release(mut self) {
        self.held = false;
        release(&self.cache, &self.key, self.token).await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        // Without a runtime the claim ends by itself, after its time.
        if let Ok(runtime) = Handle::try_current() {
            let (cache, key, token) = (self.cache.clone(), self.key.clone(), self.token);
            runtime.spawn(async move { release(&cache, &key, token).await });
        }
    }
}

async fn release(cache: &Cache, key: &Key, token: LoadToken) {
    let released = cache.run(async |connection| cache::release_load(connection, cache.table(), key, token).await).await;
    if let Err(error) = released {
        tracing::warn!(%error, "the claim to load a value could not be given back: it ends by itself");
    }
}
