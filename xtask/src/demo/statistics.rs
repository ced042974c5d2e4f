//! What is in a directory: worth a cache, because every question about it would read all of its files' rows.

use std::fmt;

use anyhow::{Context, Result};
use pg_queue::PgQueue;
use serde::{Deserialize, Serialize};

use crate::numbers::thousands;

/// The files of a directory taken together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Statistics {
    pub(super) directory: String,
    files: i64,
    lines: i64,
    words: i64,
    /// The one with the most lines.
    language: String,
}

/// The statistics of a directory, from the cache or else computed for whoever asks next.
pub(super) async fn of(mgr: &PgQueue, directory: &str) -> Result<Statistics> {
    let key = format!("demo statistics of {directory}");
    let loaded = mgr.cache.get_or_set(&key, 600, || load(mgr, directory)).await;
    loaded.with_context(|| format!("no statistics of {directory}"))
}

async fn load(mgr: &PgQueue, directory: &str) -> sqlx::Result<Statistics> {
    let sums = "
        select count(*), coalesce(sum(lines), 0)::bigint, coalesce(sum(words), 0)::bigint,
            coalesce((
                select language from demo_files where directory = $1 group by language
                order by sum(lines) desc, language limit 1
            ), 'none')
        from demo_files where directory = $1";
    let (files, lines, words, language) = sqlx::query_as(sums).bind(directory).fetch_one(mgr.pool()).await?;
    Ok(Statistics { directory: directory.to_owned(), files, lines, words, language })
}

/// The directories with the most lines.
pub(super) async fn largest(mgr: &PgQueue, limit: i64) -> Result<Vec<String>> {
    let largest = "select directory from demo_files group by directory order by sum(lines) desc, directory limit $1";
    Ok(sqlx::query_scalar(largest).bind(limit).fetch_all(mgr.pool()).await?)
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number: i64| thousands(number.unsigned_abs());
        write!(
            f,
            "{} files, {} lines, {} words, mostly {}",
            count(self.files),
            count(self.lines),
            count(self.words),
            self.language
        )
    }
}
