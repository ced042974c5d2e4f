//! Moments on the database's clock, without a date library in the public face.

use std::time::{Duration, SystemTime};

use sqlx::{
    Decode, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgTypeInfo, PgValueFormat, PgValueRef},
};

/// PostgreSQL counts microseconds from 2000-01-01 00:00 UTC.
const EPOCH: Duration = Duration::from_secs(946_684_800);

/// A `timestamptz`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timestamp(pub(crate) SystemTime);

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let epoch = SystemTime::UNIX_EPOCH + EPOCH;
        let micros = match self.0.duration_since(epoch) {
            Ok(after) => i64::try_from(after.as_micros())?,
            Err(before) => -i64::try_from(before.duration().as_micros())?,
        };
        Encode::<Postgres>::encode(micros, buffer)
    }
}

impl Decode<'_, Postgres> for Timestamp {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        if value.format() == PgValueFormat::Text {
            return Err("timestamps are read in the binary format only".into());
        }
        let micros = <i64 as Decode<Postgres>>::decode(value)?;
        let epoch = SystemTime::UNIX_EPOCH + EPOCH;
        let moment = match u64::try_from(micros) {
            Ok(after) => epoch.checked_add(Duration::from_micros(after)),
            Err(_) => epoch.checked_sub(Duration::from_micros(micros.unsigned_abs())),
        };
        moment.map(Timestamp).ok_or_else(|| "timestamp out of range".into())
    }
}

/// A moment, given as the time since 1970, as PostgreSQL counts it: microseconds since 2000. Up to some ten thousand years.
pub(crate) fn database_micros(since_1970: Duration) -> i64 {
    let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    micros(since_1970) - micros(EPOCH)
}

/// Any moment, cut to the years that an operator can mean.
pub(crate) fn clamped_database_micros(moment: SystemTime) -> i64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    database_micros(since.min(Duration::from_secs(253_402_300_799)))
}

/// A duration as PostgreSQL is given it: whole microseconds, cut to what an interval holds.
pub(crate) fn micros(duration: Duration) -> i64 {
    // A thousand years: beyond it now() + the interval leaves the range of timestamptz.
    const MOST: i64 = 1000 * 365 * 24 * 3600 * 1_000_000;
    i64::try_from(duration.as_micros()).unwrap_or(MOST).min(MOST)
}
