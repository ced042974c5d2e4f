//! A job's tags, as the table holds them.

use sqlx::{
    Decode, Postgres, Type,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValueRef},
};

/// The tags of a job that may come from anybody. Whoever writes SQL can store what is no list of words, an array of arrays or
/// a null among them: that is left out, and must not fail the statement, which answers for other jobs as well.
#[derive(Debug, Default)]
pub(crate) struct Tags(pub(crate) Vec<String>);

impl Type<Postgres> for Tags {
    fn type_info() -> PgTypeInfo {
        <Vec<String> as Type<Postgres>>::type_info()
    }

    fn compatible(column: &PgTypeInfo) -> bool {
        <Vec<String> as Type<Postgres>>::compatible(column)
    }
}

impl Decode<'_, Postgres> for Tags {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let words = Vec::<Option<String>>::decode(value).unwrap_or_default();
        Ok(Self(words.into_iter().flatten().collect()))
    }
}
