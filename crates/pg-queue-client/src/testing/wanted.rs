//! What a test wants to find among the enqueued jobs, and what it is told when that is not there.

use std::{
    fmt::{self, Display, Write},
    marker::PhantomData,
    pin::Pin,
};

use pg_queue_core::{DatabaseError, Job, testing::QueuedJob};
use serde_json::Value;

use super::{Enqueued, Look, Looked, enqueued::kinds};

/// How many jobs a failure lists. More do not help.
const MOST_LISTED: usize = 20;

/// How much of a payload it shows, in characters.
const MOST_SHOWN: usize = 500;

/// How many jobs are wanted.
#[derive(Debug, Clone, Copy)]
pub enum Count {
    /// One or more.
    Some,
    /// So many.
    Exactly(usize),
}

/// The jobs that are wanted. What the macros are made of, and nothing else.
pub struct Wanted<J, F> {
    what: String,
    fits: F,
    type_of_job: TypeOf<J>,
}

/// A type without a value.
type TypeOf<J> = PhantomData<fn() -> J>;

/// A look that is on its way.
type Looking<'p> = Pin<Box<dyn Future<Output = Result<Looked, DatabaseError>> + Send + 'p>>;

// Not derived: that would ask for `F: Debug`.
impl<J, F> fmt::Debug for Wanted<J, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted").field("what", &self.what).finish_non_exhaustive()
    }
}

/// Any job of the type.
#[must_use]
pub fn any<J: Job>(type_of_job: TypeOf<J>) -> Wanted<J, impl FnMut(&Enqueued<J>) -> bool> {
    that(type_of_job, "", |_: &Enqueued<J>| true)
}

/// Those that fit; `what` says which these are.
pub fn that<J: Job, F: FnMut(&Enqueued<J>) -> bool>(type_of_job: TypeOf<J>, what: &str, fits: F) -> Wanted<J, F> {
    Wanted { what: what.to_owned(), fits, type_of_job }
}

/// Those that have the same payload. Compared as the type writes it now: so a field that an older program, or SQL, has left
/// out is the same as its default.
///
/// # Panics
/// It does not serialize.
#[must_use]
pub fn same<J: Job>(payload: &J) -> Wanted<J, impl FnMut(&Enqueued<J>) -> bool + use<J>> {
    let text = serde_json::to_string(payload).expect("the wanted payload serializes");
    let json = serde_json::to_value(payload).expect("what is JSON is a value of JSON");
    let what = format!(" with the payload {}", shown(&text));
    that(PhantomData, &what, move |enqueued: &Enqueued<J>| {
        serde_json::to_value(&enqueued.payload).is_ok_and(|payload: Value| payload == json)
    })
}

impl<J: Job, F: FnMut(&Enqueued<J>) -> bool> Wanted<J, F> {
    /// Looks for jobs of the type.
    pub fn look<'p>(&self, place: impl Look + 'p) -> Looking<'p> {
        Box::pin(async move { place.look(&kinds::<J>()).await })
    }

    /// Finds out whether there are as many as are wanted. Answers them, or what to tell.
    ///
    /// # Errors
    /// There are more or fewer, or the database failed.
    pub async fn find(mut self, count: Count, looking: Looking<'_>) -> Result<Vec<Enqueued<J>>, String> {
        let Looked { jobs, others, committed_only } =
            looking.await.map_err(|error| format!("the enqueued jobs could not be looked at: {error}"))?;
        let mut fitting = Vec::new();
        let mut seen = Vec::with_capacity(jobs.len());
        for queued in jobs {
            let line = line(&queued);
            let (note, found) = match Enqueued::decode(queued) {
                Ok(enqueued) if (self.fits)(&enqueued) => ("fits", Some(enqueued)),
                Ok(_) => ("does not fit", None),
                Err(_) => ("does not decode", None),
            };
            seen.push((note, line));
            fitting.extend(found);
        }
        let found = fitting.len();
        let (is_met, wanted) = match count {
            Count::Some => (found > 0, "one at least".to_owned()),
            Count::Exactly(0) => (found == 0, "none".to_owned()),
            Count::Exactly(count) => (found == count, count.to_string()),
        };
        if is_met {
            return Ok(fitting);
        }
        let kinds = kinds::<J>().join(" or ");
        let mut told = format!("found {found}, wanted {wanted}: unfinished jobs of kind {kinds}{}", self.what);
        tell(&mut told, &seen, &others, committed_only).expect("writing to a string cannot fail");
        Err(told)
    }
}

fn line(queued: &QueuedJob) -> String {
    let QueuedJob { job, queue, .. } = queued;
    format!("job {} in queue {queue}, {}: {}", job.id, job.state.as_str(), shown(&job.payload))
}

fn shown(payload: &str) -> String {
    let cut: String = payload.chars().take(MOST_SHOWN).collect();
    if cut.len() < payload.len() { cut + ".." } else { cut }
}

/// What is there instead.
fn tell(told: &mut String, seen: &[(&str, String)], others: &[(String, u64)], committed_only: bool) -> fmt::Result {
    if seen.is_empty() {
        write!(told, "\n  there is none of that kind")?;
    } else {
        write!(told, "\n  of that kind (payloads are shown because this is a test):")?;
    }
    for (note, line) in seen.iter().take(MOST_LISTED) {
        write!(told, "\n    {note}: {line}")?;
    }
    if seen.len() > MOST_LISTED {
        write!(told, "\n    and {} more", seen.len() - MOST_LISTED)?;
    }
    write!(told, "\n  of other kinds: {}", Others(others))?;
    if committed_only {
        write!(told, "\n  what a transaction has enqueued and not committed is seen by `mgr.on(&mut tx)` only")?;
    }
    Ok(())
}

struct Others<'o>(&'o [(String, u64)]);

impl Display for Others<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.0.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        f.write_str(if counts.is_empty() { "none" } else { "" })?;
        f.write_str(&counts.join(", "))
    }
}
