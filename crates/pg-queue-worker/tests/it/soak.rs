//! Everything at once, with random ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use pg_queue_worker::Outcome;

use crate::support::{App, db, effect, start, tasks};

const JOBS: i64 = 5000;

/// Random enough: what this attempt of this run comes to.
fn dice(state: &AtomicU64) -> u64 {
    let mut x = state.fetch_add(0x9E37_79B9_7F4A_7C15, SeqCst);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x ^ (x >> 31)) % 100
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_jobs_with_random_ends_have_each_exactly_one_effect() {
    let db = db().await;
    db.execute("create table effects (job bigint not null)").await;
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    println!("seed {seed}");
    let state = Arc::new(AtomicU64::new(seed.into()));
    let app = || {
        let state = state.clone();
        App::new(move |_, ctx| {
            let dice = dice(&state);
            async move {
                match dice {
                    0..5 => return Err("a failure".into()),
                    // Without the hook, which would print a thousand of them.
                    5..8 => std::panic::resume_unwind(Box::new("a panic")),
                    8..12 => return Ok(Outcome::Snooze(Duration::from_millis(dice))),
                    12..14 => {
                        // A commit that is forgotten.
                        let mut transaction = ctx.pool().begin().await?;
                        let effect =
                            sqlx::query("insert into effects values ($1)").persistent(false).bind(ctx.job_id().get());
                        effect.execute(&mut *transaction).await?;
                        return Ok(ctx.complete_in(&mut transaction).await?);
                    }
                    14..30 => crate::support::work_for(Duration::from_millis(dice)).await,
                    _ => {}
                }
                effect(&ctx).await
            }
        })
    };
    let workers = [(); 2].map(|()| start(tasks().concurrency(20).build(&db.queue, app()).unwrap()));
    let began = Instant::now();
    for batch in 0..10 {
        db.push_many(batch * JOBS / 10..(batch + 1) * JOBS / 10).await;
        db.execute("update queue_work set max_attempts = 1000 where max_attempts < 1000 and lease_token is null").await;
    }
    db.until("select count(*) = 0 from queue_work").await;
    println!("{JOBS} jobs in {:?}", began.elapsed());
    let mut completed = 0;
    let mut again = 0;
    for worker in workers {
        let summary = worker.stop().await;
        assert_eq!((summary.lost_leases, summary.rescued, summary.released), (0, 0, 0), "{summary:?}");
        completed += summary.completed;
        again += summary.retried + summary.snoozed;
    }
    let discarded: i64 = db.get("select count(*) from pg_queue_history").await;
    let expected = JOBS - discarded;
    assert_eq!(db.effects().await, (expected, expected));
    assert_eq!(completed, expected.unsigned_abs());
    assert!(again > 0);
    // Those that ran before their attempts were raised had three.
    assert!(discarded < JOBS / 20, "{discarded}");
}
