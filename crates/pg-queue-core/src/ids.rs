//! Ids: of jobs, of leases, of requests.

use std::fmt;

use uuid::Uuid;

use crate::TupleId;

/// A job's id, as enqueuing answers it. Unique over all queues of a schema.
///
/// It does not complete a job: only a claim gives the right to do so, and with it a [`LeasedJobId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub(crate) i64);

impl JobId {
    /// The number, as it stands in the column `id`.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A claimed job's id together with the lease under which it was claimed.
///
/// Displays as the number. Whoever completes or fails a job shows this value; when the lease has passed to somebody
/// else in the meantime, the call changes nothing and says so ([`LeaseLost`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeasedJobId {
    pub(crate) id: i64,
    pub(crate) token: LeaseToken,
    pub(crate) attempt: u16,
    /// Where its row was when it was claimed: most jobs are completed there.
    pub(crate) place: TupleId,
}

impl LeasedJobId {
    /// The job's id without the lease.
    #[must_use]
    pub const fn job_id(self) -> JobId {
        JobId(self.id)
    }

    /// The lease.
    #[must_use]
    pub const fn token(self) -> LeaseToken {
        self.token
    }

    /// The same lease as if it had been claimed elsewhere, for tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn at(self, place: TupleId) -> Self {
        Self { place, ..self }
    }

    /// Where it was claimed, for tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn place(self) -> TupleId {
        self.place
    }

    /// Which attempt this claim is; the first is 1.
    #[must_use]
    pub const fn attempt(self) -> u16 {
        self.attempt
    }
}

impl fmt::Display for LeasedJobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// What a claim writes into the rows it takes: 64 random bits, new for every claim.
///
/// Random and drawn by the client, because a counter in the database repeats after a crash that lost an asynchronous
/// commit, and after a failover; the fence would be open then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub(crate) i64);

impl LeaseToken {
    /// Draws a new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

/// The id of a worker process: 64 random bits per process life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkerId(pub(crate) i64);

impl WorkerId {
    /// Draws a new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The correlation id of a request. Its first eight bytes name the caller's inbox, so that a responder knows where to
/// answer from the id alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(Uuid);

impl RequestId {
    /// A new id for a request whose reply goes to `inbox`.
    #[must_use]
    pub fn random(inbox: Inbox) -> Self {
        let mut bytes: [u8; 16] = rand::random();
        bytes[..8].copy_from_slice(&inbox.0);
        Self(Uuid::from_bytes(bytes))
    }

    /// The id with this number of those whose replies go to `inbox`.
    pub(crate) fn of(inbox: Inbox, number: u64) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&inbox.0);
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        Self(Uuid::from_bytes(bytes))
    }

    /// Its number among those of its inbox.
    pub(crate) fn within_inbox(self) -> u64 {
        let mut number = [0; 8];
        number.copy_from_slice(&self.0.as_bytes()[8..]);
        u64::from_be_bytes(number)
    }

    /// Where the reply goes.
    #[must_use]
    pub fn inbox(self) -> Inbox {
        let mut inbox = [0; 8];
        inbox.copy_from_slice(&self.0.as_bytes()[..8]);
        Inbox(inbox)
    }

    /// The id as a UUID, as it stands in the database.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }

    /// The id that a UUID from the database stands for.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where one process receives the replies to its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Inbox([u8; 8]);

impl Inbox {
    /// A new one: 64 random bits.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The channel that is notified when a reply has come.
    #[must_use]
    pub fn channel(self) -> String {
        format!("pg_queue.reply.{:016x}", u64::from_be_bytes(self.0))
    }
}

/// The lease on a job is gone: it ran out, or the worker was declared dead. Somebody else runs the job, or has run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the lease on job {0} is lost: it ran out and the job was given to somebody else, or the job is finished already"
)]
pub struct LeaseLost(pub LeasedJobId);
