//! What came of it, counted from outside: by SQL over the tables, after the workers have ended.

use anyhow::Result;
use pg_queue::PgQueue;
use sqlx::Row;

/// Numbers of jobs, files and attempts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counts {
    /// Jobs that were enqueued.
    pub(super) jobs: i64,
    /// Jobs that are gone from the queue, with their effect there.
    pub(super) completed: i64,
    /// Jobs that were given up.
    pub(super) failed: i64,
    /// Jobs that have no effect, are not in the queue any more, and not in the history either.
    pub(super) lost: i64,
    /// Files with more than one effect.
    pub(super) double_effects: i64,
    /// Jobs with an effect that had been taken from a dead worker.
    pub(super) rescued: i64,
    /// Attempts that failed for another reason, and were made again.
    pub(super) retries: i64,
    pub(super) binary: i64,
    pub(super) unreadable: i64,
    /// From the start until the last effect.
    pub(super) elapsed_s: f64,
    /// From the start until the last effect of a job that was not rescued: without the wait for the rescue.
    pub(super) busy_s: f64,
    /// From the death of the worker until the last effect of a job that was rescued.
    pub(super) rescue_s: Option<f64>,
}

const COUNT: &str = "
    with job as (
        select effect.file is not null as has_effect,
            queued.id is not null as is_queued,
            past.id is not null as is_past,
            past.state <> 'completed' as is_given_up
        from demo_jobs
        left join (select distinct file from demo_files) as effect on effect.file = demo_jobs.file
        left join queue_files as queued on queued.id = demo_jobs.job
        left join pg_queue_history as past on past.id = demo_jobs.job
    ),
    effect as (
        select done_at, problem,
            (select count(*) from jsonb_array_elements(errors) as one
             where one ->> 'error' like 'worker % died while it ran the job') as rescues,
            coalesce(jsonb_array_length(errors), 0) as errors
        from demo_files
    )
    select
        (select count(*) from job) as jobs,
        (select count(*) from job where has_effect and not is_queued and is_given_up is not true) as completed,
        (select count(*) from job where is_given_up) as failed,
        (select count(*) from job where not has_effect and not is_queued and not is_past) as lost,
        (select count(*) from (select file from demo_files group by file having count(*) > 1) as twice)
            as double_effects,
        count(*) filter (where rescues > 0) as rescued,
        coalesce(sum(errors - rescues), 0)::bigint as retries,
        count(*) filter (where problem = 'it is binary') as binary,
        count(*) filter (where problem <> 'it is binary') as unreadable,
        coalesce(extract(epoch from max(done_at))::float8 - $1, 0) as elapsed_s,
        coalesce(extract(epoch from max(done_at) filter (where rescues = 0))::float8 - $1, 0) as busy_s,
        extract(epoch from max(done_at) filter (where rescues > 0))::float8 - $2 as rescue_s
    from effect";

/// Counts. `started` and `killed` are moments on the database's clock.
pub(super) async fn count(mgr: &PgQueue, started: f64, killed: f64) -> Result<Counts> {
    let row = sqlx::query(COUNT).bind(started).bind(killed).fetch_one(mgr.pool()).await?;
    Ok(Counts {
        jobs: row.try_get("jobs")?,
        completed: row.try_get("completed")?,
        failed: row.try_get("failed")?,
        lost: row.try_get("lost")?,
        double_effects: row.try_get("double_effects")?,
        rescued: row.try_get("rescued")?,
        retries: row.try_get("retries")?,
        binary: row.try_get("binary")?,
        unreadable: row.try_get("unreadable")?,
        elapsed_s: row.try_get("elapsed_s")?,
        busy_s: row.try_get("busy_s")?,
        rescue_s: row.try_get("rescue_s")?,
    })
}

/// The database's clock, in seconds.
pub(super) async fn clock(mgr: &PgQueue) -> Result<f64> {
    let now = "select extract(epoch from clock_timestamp())::float8";
    Ok(sqlx::query_scalar(now).fetch_one(mgr.pool()).await?)
}

/// How many jobs bear the lease of this worker.
pub(super) async fn held_by(mgr: &PgQueue, worker: &str) -> Result<u64> {
    let held = "
        select count(*) from queue_files as job join pg_queue_workers as worker on worker.id = job.lease_worker
        where worker.name = $1";
    let held: i64 = sqlx::query_scalar(held).bind(worker).fetch_one(mgr.pool()).await?;
    Ok(held.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use pg_queue::{PgQueue, QueueName};
    use pg_queue_embedded::{Database, shared};

    use super::{super::tables, Counts, count};

    /// Of six jobs, one each is completed, rescued, done twice, given up, lost, and waiting.
    const OUTCOME: &str = r#"
        insert into demo_jobs (file, job) select n, n from generate_series(1, 6) as n;
        insert into demo_files
            (file, name, directory, worker, errors, done_at, bytes, lines, words, language, top_words, problem)
        select file, 'a', 'b', 'c', errors::jsonb, to_timestamp(done_at), 1, 1, 1, 'text', '[]', problem
        from (values
            (1, '[{"error": "the database is away"}]', 104, null),
            (2, '[{"error": "worker 00ff died while it ran the job"}]', 109, null),
            (3, null, 103, 'it is binary'),
            (3, null, 103, 'it cannot be read: no such file')
        ) as effect (file, errors, done_at, problem);
        insert into pg_queue_history
            (id, keep_until, run_at, created_at, priority, attempt, max_attempts, state, queue, kind, payload)
        values (4, now() + interval '1 day', now(), now(), 5, 5, 5, 'discarded', 'files', 'index_file', '{}');
        insert into queue_files (id, kind, payload) values (6, 'index_file', '{}');
    "#;

    #[tokio::test]
    async fn what_went_wrong_is_seen_from_outside() -> anyhow::Result<()> {
        let database = Database::create(shared()).await?;
        let mgr = PgQueue::connect(database.url()).await?;
        mgr.migrate().await?;
        mgr.queue.create(&QueueName::new("files")?).await?;
        tables::create(mgr.pool()).await?;
        sqlx::raw_sql(OUTCOME).execute(mgr.pool()).await?;
        tables::analyze(mgr.pool()).await?;

        let counts = count(&mgr, 100.0, 105.0).await?;
        let expected = Counts {
            jobs: 6,
            completed: 3,
            failed: 1,
            lost: 1,
            double_effects: 1,
            rescued: 1,
            retries: 1,
            binary: 1,
            unreadable: 1,
            elapsed_s: 9.0,
            busy_s: 4.0,
            rescue_s: Some(4.0),
        };
        assert_eq!(counts, expected);
        Ok(())
    }
}
