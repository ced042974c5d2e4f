//! New jobs as the statements take them: checked, and column by column.

use std::time::{Duration, SystemTime};

use sqlx::{Postgres, postgres::PgArguments, query::QueryAs};
use uuid::Uuid;

use super::{
    NewJob, OnConflict, PushError, UniqueUntil,
    options::{PushOptions, Timeout},
};
use crate::{
    DEFAULT_MAX_ATTEMPTS, RequestId,
    timestamp::{database_micros, micros},
};

const MAX_TAGS: usize = 32;
const MAX_TAG_BYTES: usize = 100;
const MAX_METADATA_BYTES: usize = 64 << 10;

/// A job that the table will take: what it would refuse must be refused before, because the server's error would abort the
/// caller's transaction.
#[derive(Debug)]
pub(crate) struct Row<'j> {
    pub(crate) kind: &'j str,
    pub(crate) payload: &'j str,
    /// Microseconds since PostgreSQL's epoch; none is now.
    pub(super) run_at: Option<i64>,
    pub(super) delay: i64,
    pub(crate) priority: i16,
    pub(crate) max_attempts: i16,
    pub(crate) timeout_ms: Option<i64>,
    /// As an array's literal.
    pub(crate) tags: Option<String>,
    pub(crate) metadata: Option<String>,
    pub(super) request_id: Option<Uuid>,
    pub(crate) key: Option<Key>,
}

/// A checked unique key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) hold: Hold,
    pub(super) on_conflict: Conflict,
}

/// What holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The job, until it starts or ends.
    Job { while_waiting: bool },
    /// The memory, for so many microseconds.
    Time(i64),
}

/// What the second job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conflict {
    Keep,
    Replace,
    /// The most that a job waits from its first enqueue on, in microseconds.
    Debounce(i64),
}

impl<'j> Row<'j> {
    pub(crate) fn new(job: &'j NewJob) -> Result<Self, PushError> {
        let options = &job.options;
        let mut delay = options.delay;
        let key = match &options.unique {
            None => None,
            Some(unique) => {
                let on_conflict = match unique.on_conflict {
                    OnConflict::Keep => Conflict::Keep,
                    OnConflict::Replace => Conflict::Replace,
                    OnConflict::Debounce { .. } if options.run_at.is_some() || options.delay.is_some() => {
                        return Err(PushError::DebounceWithTime);
                    }
                    OnConflict::Debounce { delay: wait, max } => {
                        delay = Some(wait.min(max));
                        Conflict::Debounce(micros(max))
                    }
                };
                let hold = match unique.until {
                    UniqueUntil::Finished => Hold::Job { while_waiting: false },
                    UniqueUntil::Started => Hold::Job { while_waiting: true },
                    UniqueUntil::Elapsed(time) if time.is_zero() => return Err(PushError::UniqueForNoTime),
                    UniqueUntil::Elapsed(time) => Hold::Time(micros(time)),
                };
                Some(Key { text: unique.stored(&job.kind)?, hold, on_conflict })
            }
        };
        Ok(Self {
            kind: &job.kind,
            payload: &job.payload,
            run_at: options.run_at.map(checked_moment).transpose()?,
            delay: micros(delay.unwrap_or_default()),
            priority: options.priority.get().into(),
            max_attempts: checked_attempts(options.max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS))?,
            timeout_ms: options.timeout.map(checked_timeout).transpose()?,
            tags: checked_tags(&options.tags)?,
            metadata: checked_metadata(options)?,
            request_id: job.request_id.map(RequestId::as_uuid),
            key,
        })
    }

    /// Whether it has nothing but what every job has.
    pub(super) const fn is_plain(&self) -> bool {
        self.run_at.is_none()
            && self.delay == 0
            && self.timeout_ms.is_none()
            && self.tags.is_none()
            && self.metadata.is_none()
            && self.request_id.is_none()
            && self.key.is_none()
    }

    /// The key's text, for statements about jobs that have one.
    pub(super) fn key_text(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.text.as_str())
    }

    /// For how long the key is remembered, in microseconds; nothing for a key that its job holds.
    pub(super) fn span(&self) -> i64 {
        match self.key.as_ref().map(|key| key.hold) {
            Some(Hold::Time(micros)) => micros,
            _ => 0,
        }
    }
}

impl Key {
    /// Whether the job gives its key up when it starts; nothing for one that does not.
    fn while_waiting(&self) -> Option<bool> {
        matches!(self.hold, Hold::Job { while_waiting: true }).then_some(true)
    }
}

fn checked_moment(moment: SystemTime) -> Result<i64, PushError> {
    /// The first second of the year 10000.
    const END: Duration = Duration::from_secs(253_402_300_800);
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| PushError::InvalidRunAt)?;
    if since < END { Ok(database_micros(since)) } else { Err(PushError::InvalidRunAt) }
}

pub(crate) fn checked_attempts(attempts: u16) -> Result<i16, PushError> {
    match i16::try_from(attempts) {
        Ok(attempts @ 1..) => Ok(attempts),
        _ => Err(PushError::InvalidMaxAttempts(attempts)),
    }
}

fn checked_timeout(timeout: Timeout) -> Result<i64, PushError> {
    match timeout {
        Timeout::Unlimited => Ok(0),
        Timeout::After(limit) => match i64::try_from(limit.as_millis()) {
            Ok(0) => Err(PushError::InvalidTimeout),
            Ok(millis) => Ok(millis),
            // Longer than any machine runs.
            Err(_) => Ok(0),
        },
    }
}

/// An array's literal, because an array of arrays could not have rows of different lengths.
fn checked_tags(tags: &[String]) -> Result<Option<String>, PushError> {
    if tags.is_empty() {
        return Ok(None);
    }
    let good = |tag: &String| (1..=MAX_TAG_BYTES).contains(&tag.len()) && !tag.contains('\0');
    if tags.len() > MAX_TAGS || !tags.iter().all(good) {
        return Err(PushError::InvalidTags);
    }
    let quoted: Vec<_> = tags.iter().map(|tag| tag.replace('\\', "\\\\").replace('"', "\\\"")).collect();
    Ok(Some(format!("{{\"{}\"}}", quoted.join("\",\""))))
}

fn checked_metadata(options: &PushOptions) -> Result<Option<String>, PushError> {
    if options.metadata.is_empty() {
        return Ok(None);
    }
    let json = serde_json::to_string(&options.metadata).map_err(PushError::Serialize)?;
    if json.len() > MAX_METADATA_BYTES {
        Err(PushError::MetadataTooLarge { bytes: json.len() })
    } else {
        Ok(Some(json))
    }
}

/// How many jobs one statement takes at most, and how many bytes of payload and metadata: beyond that it gains nothing, and the
/// message that carries it has a limit.
const MOST_JOBS: usize = 10_000;
const MOST_BYTES: usize = 32 << 20;

/// How many of these, from the first on, one statement takes: one at least, however long it is.
pub(super) fn fitting<'r, 'j: 'r>(rows: impl Iterator<Item = &'r Row<'j>>) -> usize {
    let mut bytes = 0;
    let fits = |row: &&Row<'_>| {
        bytes += row.payload.len() + row.metadata.as_ref().map_or(0, String::len);
        bytes <= MOST_BYTES
    };
    rows.take(MOST_JOBS).take_while(fits).count().max(1)
}

/// How many elements the arrays have of columns that every job has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// One for each job.
    Full,
    /// A single one, where it is the same for all jobs. What `unnest` has to put together is the half of a statement's time.
    Short,
}

/// Binds the columns of `rows` as the twelve arrays `$1` to `$12` that the statements about many jobs begin with.
pub(super) fn bind<'q, O>(
    query: QueryAs<'q, Postgres, O, PgArguments>,
    rows: &'q [&'q Row<'q>],
    columns: Columns,
) -> QueryAs<'q, Postgres, O, PgArguments> {
    fn column<'q, T>(rows: &'q [&'q Row<'q>], of: impl Fn(&'q Row<'q>) -> T) -> Vec<T> {
        rows.iter().map(|row| of(row)).collect()
    }
    fn common<'q, T: PartialEq>(rows: &'q [&'q Row<'q>], columns: Columns, of: impl Fn(&'q Row<'q>) -> T) -> Vec<T> {
        let same = |rows: &[&'q Row<'q>]| of(rows[0]) == of(rows[1]);
        let short = columns == Columns::Short && rows.windows(2).all(same);
        column(if short { &rows[..rows.len().min(1)] } else { rows }, of)
    }
    /// What no row has is an empty array, of which `unnest` makes as many nulls as it needs: it would take as long for an array
    /// of nulls as for any other.
    fn optional<'q, T>(rows: &'q [&'q Row<'q>], of: impl Fn(&'q Row<'q>) -> Option<T>) -> Vec<Option<T>> {
        let column = column(rows, of);
        if column.iter().all(Option::is_none) { Vec::new() } else { column }
    }
    query
        .bind(common(rows, columns, |row| row.kind))
        .bind(column(rows, |row| row.payload))
        .bind(optional(rows, |row| row.run_at))
        .bind(common(rows, columns, |row| row.delay))
        .bind(common(rows, columns, |row| row.priority))
        .bind(common(rows, columns, |row| row.max_attempts))
        .bind(optional(rows, |row| row.timeout_ms))
        .bind(optional(rows, |row| row.tags.as_deref()))
        .bind(optional(rows, |row| row.metadata.as_deref()))
        .bind(optional(rows, |row| row.request_id))
        .bind(optional(rows, |row| row.key_text()))
        .bind(optional(rows, |row| row.key.as_ref().and_then(Key::while_waiting)))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::Row;
    use crate::{
        OnConflict, PushOptions, Unique, UniqueUntil,
        jobs::{NewJob, PushError},
    };

    fn refused(options: PushOptions) -> PushError {
        let mut job = NewJob::raw(&1).unwrap();
        job.options = options;
        Row::new(&job).unwrap_err()
    }

    #[test]
    fn what_the_table_would_refuse_is_refused_before() {
        let options = PushOptions::default;
        assert!(matches!(refused(options().max_attempts(0)), PushError::InvalidMaxAttempts(0)));
        assert!(matches!(refused(options().max_attempts(32768)), PushError::InvalidMaxAttempts(32768)));
        assert!(matches!(refused(options().timeout(Duration::from_micros(999))), PushError::InvalidTimeout));
        for moment in
            [SystemTime::UNIX_EPOCH - Duration::from_secs(1), SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)]
        {
            assert!(matches!(refused(options().run_at(moment)), PushError::InvalidRunAt));
        }
        for tag in ["", "a\0b", &"t".repeat(101)] {
            assert!(matches!(refused(options().tag(tag)), PushError::InvalidTags));
        }
        let many = (0..33).fold(options(), |options, n| options.tag(n.to_string()));
        assert!(matches!(refused(many), PushError::InvalidTags));
        let long = options().metadata("k", "x".repeat(65536));
        assert!(matches!(refused(long), PushError::MetadataTooLarge { .. }));
        let at_once = Unique::key("k").until(UniqueUntil::Elapsed(Duration::ZERO));
        assert!(matches!(refused(options().unique(at_once)), PushError::UniqueForNoTime));
        let wait = Duration::from_secs(1);
        let debounced = Unique::key("k").on_conflict(OnConflict::Debounce { delay: wait, max: wait });
        assert!(matches!(refused(options().unique(debounced).delay(wait)), PushError::DebounceWithTime));
    }

    /// The limit on metadata alone would let 10,000 jobs have 640 MiB of it.
    #[test]
    fn a_statement_is_as_long_as_what_its_jobs_carry() {
        let mut job = NewJob::raw(&1).unwrap();
        job.options = PushOptions::default().metadata("k", "x".repeat(60_000));
        let rows: Vec<_> = (0..1000).map(|_| Row::new(&job).unwrap()).collect();
        let fit = super::fitting(rows.iter());
        assert!((500..600).contains(&fit), "{fit}");
    }

    #[test]
    fn a_time_beyond_all_times_is_without_limit() {
        let mut job = NewJob::raw(&1).unwrap();
        job.options = PushOptions::default().timeout(Duration::MAX).delay(Duration::MAX);
        let row = Row::new(&job).unwrap();
        assert_eq!(row.timeout_ms, Some(0));
    }
}
