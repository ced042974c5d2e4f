//! The demo's own tables.

use anyhow::Result;
use sqlx::{PgConnection, PgPool, types::Json};

use super::{index::Findings, tree::File};

/// No unique constraint anywhere: were a file indexed twice, both rows would be there to be counted.
const TABLES: &str = "
    create table demo_jobs (file bigint not null, job bigint not null);
    create table demo_files (
        file bigint not null,
        name text not null,
        directory text not null,
        worker text not null,
        -- The job's errors until then: they tell a rescue from another retry.
        errors jsonb,
        done_at timestamptz not null default clock_timestamp(),
        sha256 text,
        bytes bigint not null,
        lines bigint not null,
        words bigint not null,
        language text not null,
        top_words jsonb not null,
        problem text
    );
    create table demo_probes (pickup_ms double precision not null);
";

pub(super) async fn create(pool: &PgPool) -> Result<()> {
    sqlx::raw_sql(TABLES).execute(pool).await?;
    Ok(())
}

/// Lets the server know how much there is. Without that it takes a question about all files for so much work that it
/// compiles it first.
pub(super) async fn analyze(pool: &PgPool) -> Result<()> {
    sqlx::raw_sql("analyze demo_jobs, demo_files, queue_files, pg_queue_history").execute(pool).await?;
    Ok(())
}

/// Notes which job was enqueued for which file, in the transaction that enqueues.
pub(super) async fn note_jobs(connection: &mut PgConnection, files: &[i64], jobs: &[i64]) -> Result<()> {
    let note = "insert into demo_jobs (file, job) select * from unnest($1::bigint[], $2::bigint[])";
    sqlx::query(note).bind(files).bind(jobs).execute(connection).await?;
    Ok(())
}

/// Writes what was found in a file: the effect of its job.
pub(super) async fn write_effect(
    connection: &mut PgConnection,
    number: i64,
    file: &File,
    job: i64,
    worker: &str,
    found: &Findings,
) -> sqlx::Result<()> {
    let effect = "
        insert into demo_files
            (file, name, directory, worker, errors, sha256, bytes, lines, words, language, top_words, problem)
        values ($1, $2, $3, $4, (select errors from queue_files where id = $5), $6, $7, $8, $9, $10, $11, $12)";
    sqlx::query(effect)
        .bind(number)
        .bind(&file.name)
        .bind(file.directory())
        .bind(worker)
        .bind(job)
        .bind(&found.sha256)
        .bind(found.bytes)
        .bind(found.lines)
        .bind(found.words)
        .bind(found.language)
        .bind(Json(&found.top_words))
        .bind(&found.problem)
        .execute(connection)
        .await?;
    Ok(())
}

/// Writes how long a probe waited: from when it was due until now, its handler's first statement. One clock, the
/// database's, tells both times.
pub(super) async fn write_pickup(pool: &PgPool, probe: i64) -> sqlx::Result<()> {
    let pickup = "
        insert into demo_probes
        select extract(epoch from clock_timestamp() - run_at) * 1000 from queue_probes where id = $1";
    sqlx::query(pickup).bind(probe).execute(pool).await?;
    Ok(())
}
