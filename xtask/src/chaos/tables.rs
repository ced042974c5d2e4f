//! What the jobs leave behind, in a table of its own, and what is in the library's tables at the end.

use anyhow::Result;
use sqlx::{PgConnection, PgPool};

use super::log::RunId;

/// No unique constraint and no index: were an effect left twice, both rows would be there to be counted.
const TABLE: &str = "
    create table chaos_effects (
        number bigint not null,
        job bigint not null,
        process integer not null,
        run integer not null,
        -- Whether it was to be committed together with the job's completion.
        transactional boolean not null
    )";

pub(super) async fn create(pool: &PgPool) -> Result<()> {
    sqlx::raw_sql(TABLE).execute(pool).await?;
    Ok(())
}

pub(super) async fn write_effect(
    connection: &mut PgConnection,
    number: i64,
    job: i64,
    run: RunId,
    transactional: bool,
) -> Result<()> {
    let effect = "insert into chaos_effects values ($1, $2, $3, $4, $5)";
    let effect = sqlx::query(effect).bind(number).bind(job).bind(i32::try_from(run.process)?);
    effect.bind(i32::try_from(run.run)?).bind(transactional).execute(connection).await?;
    Ok(())
}

/// An effect that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) number: i64,
    pub(super) job: i64,
    pub(super) run: RunId,
    pub(super) transactional: bool,
}

pub(super) async fn effects(pool: &PgPool) -> Result<Vec<Effect>> {
    let effects = "select number, job, process, run, transactional from chaos_effects";
    let rows: Vec<(i64, i64, i32, i32, bool)> = sqlx::query_as(effects).fetch_all(pool).await?;
    let effect = |(number, job, process, run, transactional): (_, _, i32, i32, _)| {
        let run = RunId { process: process.unsigned_abs(), run: run.unsigned_abs() };
        Effect { number, job, run, transactional }
    };
    Ok(rows.into_iter().map(effect).collect())
}

/// The jobs in the history, and whether they are there as completed.
pub(super) async fn history(pool: &PgPool) -> Result<Vec<(i64, bool)>> {
    Ok(sqlx::query_as("select id, state = 'completed' from pg_queue_history").fetch_all(pool).await?)
}

/// How many jobs have not finished.
pub(super) async fn unfinished(pool: &PgPool) -> Result<u64> {
    let count: i64 = sqlx::query_scalar("select count(*) from pg_queue_jobs").fetch_one(pool).await?;
    Ok(count.unsigned_abs())
}

/// The jobs that have not finished, each with what is known of it.
pub(super) async fn leftovers(pool: &PgPool) -> Result<Vec<(i64, String)>> {
    let leftovers = "
        select job.id, format('%s, attempt %s of %s, %s', job.kind, job.attempt, job.max_attempts,
            case
                when job.lease_token is null then format('due %s', job.run_at)
                else format('with %s%s', coalesce(worker.name, 'nobody'),
                    case when worker.dead_at is null then '' else ', which is dead' end)
            end)
        from pg_queue_jobs as job
        left join pg_queue_workers as worker on worker.id = job.lease_worker
        order by job.id";
    Ok(sqlx::query_as(leftovers).fetch_all(pool).await?)
}

/// How many workers live, as far as the table knows.
pub(super) async fn living(pool: &PgPool) -> Result<usize> {
    let living = "select count(*) from pg_queue_workers where dead_at is null";
    let living: i64 = sqlx::query_scalar(living).fetch_one(pool).await?;
    Ok(usize::try_from(living)?)
}

/// Ends connections to this database, but the one that asks: all, or every third. Answers how many.
pub(super) async fn end_backends(pool: &PgPool, all: bool) -> Result<u64> {
    let end = "
        select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and ($1 or pid % 3 = 0)";
    let ended: i64 = sqlx::query_scalar(end).bind(all).fetch_one(pool).await?;
    Ok(ended.unsigned_abs())
}
