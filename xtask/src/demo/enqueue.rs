//! Enqueuing a job per file.

use anyhow::Result;
use pg_queue::{Job, PgQueue};

use super::{jobs::IndexFile, tables, tree::File};

/// How many jobs one transaction enqueues: enough that its commit costs nothing, few enough that workers soon see them.
pub(super) const CHUNK: usize = 500;

/// Enqueues a job for each of at most [`CHUNK`] files, and notes which: all or none. `first` is the number of the first.
pub(super) async fn chunk(mgr: &PgQueue, first: usize, files: &[File]) -> Result<()> {
    let mut tx = mgr.pool().begin().await?;
    let mut jobs = Vec::with_capacity(files.len());
    let numbers: Vec<i64> = (first..first + files.len()).map(i64::try_from).collect::<Result<_, _>>()?;
    for (number, file) in numbers.iter().zip(files) {
        let job = IndexFile { number: *number, file: file.clone() };
        jobs.push(job.enqueue(mgr.on(&mut tx)).await?.id().get());
    }
    tables::note_jobs(&mut tx, &numbers, &jobs).await?;
    tx.commit().await?;
    Ok(())
}
