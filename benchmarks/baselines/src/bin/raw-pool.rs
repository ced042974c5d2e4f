//! The inserts of `raw` as an application writes them with sqlx: through a pool, which looks at each connection that it gives out
//! and at each that comes back.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::{Result, bail};
use bench_baselines::{INSERT, KIND, MAX_ATTEMPTS, PRIORITY, make_queue};
use bench_harness::{About, Contestant, Params, Payload};
use sqlx::{PgPool, postgres::PgPoolOptions};

struct RawPool(PgPool);

impl Contestant for RawPool {
    const BULK: bool = false;

    type Taken = ();

    fn about() -> About {
        About {
            name: "raw SQL through sqlx's pool".into(),
            settings:
                "one prepared insert for each job through a pool of as many connections as tasks, all else as it \
                comes; no worker"
                    .into(),
            bulk: "none".into(),
        }
    }

    async fn setup(url: &str, _: &Params) -> Result<()> {
        make_queue(url).await
    }

    async fn open(url: &str, tasks: usize, _: &Params) -> Result<Self> {
        Ok(RawPool(PgPoolOptions::new().max_connections(u32::try_from(tasks)?).connect(url).await?))
    }

    async fn enqueue(&self, _: usize, job: Payload) -> Result<()> {
        let insert = sqlx::query_scalar::<_, i64>(INSERT).bind(KIND).bind(serde_json::to_string(&job)?);
        insert.bind(PRIORITY).bind(MAX_ATTEMPTS).fetch_one(&self.0).await?;
        Ok(())
    }

    async fn work(_: &str, _: &Params) -> Result<()> {
        bail!("it has no worker");
    }

    async fn unfinished(&self) -> Result<u64> {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from queue_bench").fetch_one(&self.0).await?;
        Ok(u64::try_from(count)?)
    }
}

fn main() -> ExitCode {
    bench_harness::main::<RawPool>()
}
