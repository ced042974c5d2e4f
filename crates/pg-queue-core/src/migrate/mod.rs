//! Bringing a database up to date, under pg-queue's own table of migrations.

mod error;
mod list;
mod script;

use sqlx::{Connection, PgConnection};

pub use self::{
    error::MigrateError,
    list::{MIGRATIONS, Migration},
    script::script,
};
use crate::{DatabaseError, Schema, sql};

/// What a database has of this library's migrations.
#[derive(Debug)]
#[non_exhaustive]
pub struct Status {
    /// Those that are applied.
    pub applied: Vec<&'static Migration>,
    /// Those that are not, in the order in which [`run`] would apply them.
    pub pending: Vec<&'static Migration>,
    /// Applied by a newer version of the library: version, name, and whether it is breaking.
    pub newer: Vec<(i32, String, bool)>,
}

impl Status {
    /// Whether this version of the library can work with the database.
    ///
    /// # Errors
    /// Migrations are missing, or a newer library applied one that is marked as breaking.
    pub fn check(&self, schema: &Schema) -> Result<(), MigrateError> {
        self.check_newer()?;
        match self.pending.first() {
            None => Ok(()),
            Some(first) => Err(MigrateError::Pending {
                schema: schema.clone(),
                count: self.pending.len(),
                first: format!("{:04}_{}", first.version, first.name),
            }),
        }
    }

    fn check_newer(&self) -> Result<(), MigrateError> {
        match self.newer.iter().find(|(_, _, breaking)| *breaking) {
            Some((version, name, _)) => Err(MigrateError::TooNew { migration: format!("{version:04}_{name}") }),
            None => Ok(()),
        }
    }
}

/// Applies what is missing, in one transaction: all of it or nothing. Answers what it applied.
///
/// Makes the schema if it is not there. Two at once wait for each other; the second finds nothing to do.
///
/// # Errors
/// The database fails, has an applied migration with other contents, or has a breaking one that this version of the
/// library does not know.
pub async fn run(connection: &mut PgConnection, schema: &Schema) -> Result<Vec<&'static Migration>, MigrateError> {
    let failed = |error| DatabaseError::new(error, schema);
    // A transaction that keeps one snapshot would not see what the one did that it waits for at the lock.
    let mut transaction = if connection.is_in_transaction() {
        connection.begin().await.map_err(failed)?
    } else {
        connection.begin_with(sql::BEGIN).await.map_err(failed)?
    };
    sql::query(include_str!("lock.sql"), schema)
        .persistent(false)
        .bind(schema.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let exists: bool = sql::query_scalar(include_str!("schema_exists.sql"), schema)
        .persistent(false)
        .bind(schema.as_str())
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    if !exists {
        let create = sql::in_schema(include_str!("create_schema.sql"), schema);
        sqlx::raw_sql(create).execute(&mut *transaction).await.map_err(failed)?;
    }
    if !table_exists(&mut transaction, schema).await? {
        let table = sql::in_schema(include_str!("table.sql"), schema);
        sqlx::raw_sql(table).execute(&mut *transaction).await.map_err(failed)?;
    }
    let status = read(&mut transaction, schema).await?;
    status.check_newer()?;
    for migration in &status.pending {
        sqlx::raw_sql(sql::in_schema(migration.template, schema)).execute(&mut *transaction).await.map_err(
            |error| MigrateError::Failed {
                migration: format!("{:04}_{}", migration.version, migration.name),
                source: DatabaseError::Other(error),
            },
        )?;
        sql::query(include_str!("record.sql"), schema)
            .persistent(false)
            .bind(migration.version)
            .bind(migration.name)
            .bind(migration.checksum())
            .bind(migration.is_breaking())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(status.pending)
}

/// Looks what the database has; changes nothing.
///
/// # Errors
/// The database fails, or an applied migration has other contents than this library's.
pub async fn status(connection: &mut PgConnection, schema: &Schema) -> Result<Status, MigrateError> {
    if table_exists(connection, schema).await? {
        read(connection, schema).await
    } else {
        Ok(Status { applied: Vec::new(), pending: MIGRATIONS.iter().collect(), newer: Vec::new() })
    }
}

async fn table_exists(connection: &mut PgConnection, schema: &Schema) -> Result<bool, DatabaseError> {
    sql::query_scalar(include_str!("table_exists.sql"), schema)
        .persistent(false)
        .bind(schema.as_str())
        .fetch_one(connection)
        .await
        .map_err(|error| DatabaseError::new(error, schema))
}

async fn read(connection: &mut PgConnection, schema: &Schema) -> Result<Status, MigrateError> {
    let rows: Vec<(i32, String, String, bool)> = sql::query_as(include_str!("applied.sql"), schema)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|error| DatabaseError::new(error, schema))?;
    let mut status = Status { applied: Vec::new(), pending: MIGRATIONS.iter().collect(), newer: Vec::new() };
    for (version, name, checksum, breaking) in rows {
        match status.pending.iter().position(|migration| migration.version == version) {
            Some(at) if status.pending[at].checksum() == checksum => status.applied.push(status.pending.remove(at)),
            Some(_) => {
                return Err(MigrateError::Changed { migration: format!("{version:04}_{name}") });
            }
            None => status.newer.push((version, name, breaking)),
        }
    }
    Ok(status)
}
