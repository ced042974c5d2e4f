//! Why a database was not brought up to date, or is not fit to work with.

use crate::{DatabaseError, Schema};

/// Why migrating failed, or why this version of the library does not work with a database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// Migrations are missing.
    #[error(
        "schema \"{schema}\" lacks {count} of pg-queue's migrations, from {first} on: run `pg_queue::migrate(&pool)` or \
         `cargo xtask migrate`"
    )]
    Pending {
        /// The schema that was looked in.
        schema: Schema,
        /// How many are missing.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// A newer library applied a migration that this one cannot live with.
    #[error(
        "the database has migration {migration}, which this version of pg-queue does not know and which is marked as \
         breaking: update pg-queue in this program before it is started again"
    )]
    TooNew {
        /// The migration.
        migration: String,
    },
    /// A migration was applied with other contents than this library has under the same number.
    #[error(
        "migration {migration} was applied with other contents than this version of pg-queue has: the database was made \
         by a modified or an unreleased pg-queue"
    )]
    Changed {
        /// The migration.
        migration: String,
    },
    /// A migration's own statements failed; nothing was applied.
    #[error("migration {migration} failed, and nothing was changed: {source}")]
    Failed {
        /// The migration.
        migration: String,
        /// What the database said.
        source: DatabaseError,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
