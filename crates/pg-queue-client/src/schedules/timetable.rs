//! Cron expressions and time zones: which moments they mean. The only place that knows the libraries behind them.

use std::time::{Duration, SystemTime};

use croner::{
    Cron,
    errors::CronError,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    Timestamp, Zoned, civil,
    tz::{TimeZone, TimeZoneDatabase},
};

/// Longer than anybody writes by hand. The table has the same limit.
const MAX_EXPRESSION_BYTES: usize = 500;

const NICKNAMES: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

/// The fields of an expression, the last ones first to be there.
const FIELDS: [&str; 6] = ["second", "minute", "hour", "day of the month", "month", "day of the week"];

/// The search for a next time gives up in the year 5000, and the calendar repeats itself after 400 years. So an expression
/// that has no time from here on has none at all, and to find that out from here takes a tenth of the time that it takes from
/// today: 3 ms at most.
const LAST_CYCLE: civil::DateTime = civil::date(4600, 1, 1).at(0, 0, 0, 0);

/// How many times [`next_times`] answers at most.
const MOST_TIMES: usize = 10_000;

/// An expression in a zone.
///
/// What a clock that is put forward or back does to it: an expression of one second, one minute and one hour means one moment
/// of each day. If the clock passes over it, that is the first one after the gap; if the clock shows it twice, the first of the
/// two. All other expressions mean every moment at which the clock shows what they say: none in a gap, both in a repeat.
#[derive(Debug, Clone)]
pub(super) struct Timetable {
    cron: Cron,
    zone: TimeZone,
    expression: String,
    timezone: String,
}

impl Timetable {
    pub(super) fn new(expression: &str, timezone: &str) -> Result<Self, InvalidCron> {
        let expression = expression.trim();
        let cron = parse(expression)?;
        let zone = zone(timezone).ok_or_else(|| InvalidCron::UnknownZone(shorten(timezone)))?;
        let timezone = zone.iana_name().unwrap_or(timezone).to_owned();
        let timetable = Self { cron, zone, expression: expression.to_owned(), timezone };
        match timetable.cron.find_next_occurrence(&LAST_CYCLE, true) {
            Ok(_) => Ok(timetable),
            Err(_) => Err(timetable.never()),
        }
    }

    /// The expression, without what is around it.
    pub(super) fn expression(&self) -> &str {
        &self.expression
    }

    /// The zone's name as its database writes it.
    pub(super) fn timezone(&self) -> &str {
        &self.timezone
    }

    /// The first time after this moment. There is always one, but for an expression that only ever falls into gaps of its
    /// zone's clock.
    pub(super) fn next(&self, after: SystemTime) -> Result<SystemTime, InvalidCron> {
        let next = self.shown(after).and_then(|after| self.cron.find_next_occurrence(&after, false).ok());
        next.map(SystemTime::from).ok_or_else(|| self.never())
    }

    /// The last time up to this moment, itself included.
    pub(super) fn last(&self, until: SystemTime) -> Option<SystemTime> {
        self.cron.find_previous_occurrence(&self.shown(until)?, true).ok().map(SystemTime::from)
    }

    /// The last time before this one.
    pub(super) fn previous(&self, before: SystemTime) -> Option<SystemTime> {
        self.cron.find_previous_occurrence(&self.shown(before)?, false).ok().map(SystemTime::from)
    }

    /// What the zone's clock shows at this moment, in whole seconds.
    fn shown(&self, moment: SystemTime) -> Option<Zoned> {
        // Before 1970 there was no database to have anything scheduled.
        let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let moment = Timestamp::from_second(i64::try_from(since.as_secs()).ok()?).ok()?;
        Some(moment.to_zoned(self.zone.clone()))
    }

    fn never(&self) -> InvalidCron {
        InvalidCron::NeverFires { expression: shorten(&self.expression), timezone: self.timezone.clone() }
    }
}

/// The first `count` times (at most 10,000) after a moment at which a schedule with this expression, in this zone, would make
/// its jobs. See [`Schedule`](crate::Schedule) for what expressions there are and what becomes of them when clocks are changed.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// let new_year = SystemTime::UNIX_EPOCH + Duration::from_secs(1_798_761_600);
/// let times = pg_queue_client::next_times("30 4 * * *", "Europe/Vienna", new_year, 2)?;
/// assert_eq!(times[0], new_year + Duration::from_secs(3 * 3600 + 1800));
/// assert_eq!(times[1], times[0] + Duration::from_secs(24 * 3600));
/// # Ok::<(), pg_queue_client::InvalidCron>(())
/// ```
///
/// # Errors
/// The expression cannot be read or never fires, or the zone is unknown.
pub fn next_times(
    expression: &str,
    timezone: &str,
    after: SystemTime,
    count: usize,
) -> Result<Vec<SystemTime>, InvalidCron> {
    let timetable = Timetable::new(expression, timezone)?;
    let first = timetable.next(after)?;
    let times = std::iter::successors(Some(first), |time| timetable.next(*time).ok());
    Ok(times.take(count.min(MOST_TIMES)).collect())
}

/// The system's zones; what it does not have (slim images have none, or leave out old names) comes out of the binary.
fn zone(name: &str) -> Option<TimeZone> {
    let zone = jiff::tz::db().get(name).or_else(|_| TimeZoneDatabase::bundled().get(name)).ok()?;
    // `Etc/Unknown` is a zone without a name, which is UTC.
    zone.iana_name().is_some().then_some(zone)
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build()
}

fn parse(expression: &str) -> Result<Cron, InvalidCron> {
    let invalid = |reason| InvalidCron::Expression { expression: shorten(expression), reason };
    if expression.len() > MAX_EXPRESSION_BYTES {
        return Err(invalid(format!("it has {} bytes, of at most {MAX_EXPRESSION_BYTES}", expression.len())));
    }
    if expression.starts_with('@') {
        if !NICKNAMES.contains(&expression.to_ascii_lowercase().as_str()) {
            return Err(invalid(format!("there is no such word: there are {}", NICKNAMES.join(", "))));
        }
    } else {
        match expression.split_whitespace().count() {
            5 | 6 => {}
            0 => return Err(invalid("it is empty".to_owned())),
            count => {
                return Err(invalid(format!("it has {count} of 5 fields, or 6 with the second before the minute")));
            }
        }
    }
    // The one nickname that the parser does not know.
    let known = if expression.eq_ignore_ascii_case("@midnight") { "@daily" } else { expression };
    parser().parse(known).map_err(|error| invalid(why(expression, &error)))
}

/// What is wrong, and in which field: each is tried by itself, because the error does not say.
fn why(expression: &str, error: &CronError) -> String {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let names = &FIELDS[FIELDS.len().saturating_sub(fields.len())..];
    for (place, (field, name)) in fields.iter().zip(names).enumerate() {
        let mut alone = vec!["*"; fields.len()];
        alone[place] = field;
        if let Err(error) = parser().parse(&alone.join(" ")) {
            return format!("{name} {field:?}: {}", said(&error));
        }
    }
    said(error)
}

/// The error's own words, in our style.
fn said(error: &CronError) -> String {
    let words = match error {
        CronError::InvalidPattern(words) | CronError::IllegalCharacters(words) | CronError::ComponentError(words) => {
            words.clone()
        }
        other => other.to_string(),
    };
    let words = words.trim_end_matches('.').trim_start_matches("CronPattern ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// What is quoted in an error, cut to a length that fits a log line.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Why there is no time at which something could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCron {
    /// The expression breaks the rules.
    #[error("the cron expression {expression:?} cannot be read: {reason}")]
    Expression {
        /// The expression.
        expression: String,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// No moment is as the expression wants it.
    #[error("the cron expression {expression:?} never fires: no day has such a time, in {timezone}")]
    NeverFires {
        /// The expression.
        expression: String,
        /// The zone whose clock is meant.
        timezone: String,
    },
    /// Neither the system nor the library knows the zone.
    #[error("the time zone {0:?} is unknown: give it by its IANA name, such as \"Europe/Vienna\"")]
    UnknownZone(String),
}
