//! Workers: who lives, who is dead, and what becomes of a dead worker's jobs.

use std::time::Duration;

use pg_queue_core::{
    LeaseToken, WorkerId,
    jobs::{self, Became, Claimant, PushOptions, Rescued},
    workers::{self, Registration},
};

use crate::support::{Db, LONG, database};

async fn register(db: &Db) -> WorkerId {
    let worker = Registration {
        id: WorkerId::random(),
        name: "host 1".to_owned(),
        queues: vec![crate::support::table("emails").queue().clone()],
        kinds: vec!["send".to_owned()],
        beat_interval: Duration::from_secs(5),
    };
    workers::register(&db.pool, &db.schema, &worker).await.unwrap();
    worker.id
}

async fn beat_of(db: &Db, id: WorkerId) -> i64 {
    let all = workers::observe(&db.pool, &db.schema).await.unwrap();
    all.iter().find(|worker| worker.id == id).unwrap().beat
}

/// A registered worker that is dead.
pub(crate) async fn dead(db: &Db) -> WorkerId {
    let id = register(db).await;
    assert!(workers::declare_dead(&db.pool, &db.schema, id, 0).await.unwrap());
    id
}

#[tokio::test]
async fn a_worker_is_seen_as_it_registered() {
    let db = database().await;
    let id = register(&db).await;
    assert!(workers::beat(&db.pool, &db.schema, id).await.unwrap());
    let all = workers::observe(&db.pool, &db.schema).await.unwrap();
    assert_eq!(all.len(), 1);
    let seen = &all[0];
    assert_eq!((seen.id, seen.beat, seen.beat_interval, seen.dead_for), (id, 1, Duration::from_secs(5), None));
    assert_eq!(seen.queues, ["emails"]);
}

#[tokio::test]
async fn a_beat_waits_for_the_disk_and_for_no_standby_and_does_not_leak_that() {
    let db = database().await;
    let id = register(&db).await;
    let mut connection = db.connect().await;
    sqlx::query("set synchronous_commit = on").execute(&mut connection).await.unwrap();
    workers::beat(&mut connection, &db.schema, id).await.unwrap();
    let after: String = sqlx::query_scalar("show synchronous_commit").fetch_one(&mut connection).await.unwrap();
    assert_eq!(after, "on");
}

#[tokio::test]
async fn a_beat_in_between_saves_a_worker_and_a_dead_one_never_beats_again() {
    let db = database().await;
    let id = register(&db).await;
    let watched = beat_of(&db, id).await;
    assert!(workers::beat(&db.pool, &db.schema, id).await.unwrap());
    assert!(!workers::declare_dead(&db.pool, &db.schema, id, watched).await.unwrap());
    assert!(workers::beat(&db.pool, &db.schema, id).await.unwrap());
    let watched = beat_of(&db, id).await;
    assert!(workers::declare_dead(&db.pool, &db.schema, id, watched).await.unwrap());
    assert!(!workers::declare_dead(&db.pool, &db.schema, id, watched).await.unwrap());
    assert!(!workers::beat(&db.pool, &db.schema, id).await.unwrap());
    assert_eq!(beat_of(&db, id).await, watched);
    assert!(!workers::beat(&db.pool, &db.schema, WorkerId::random()).await.unwrap());
}

#[tokio::test]
async fn of_a_beat_and_a_death_at_the_same_moment_one_wins() {
    let db = database().await;
    for _ in 0..20 {
        let id = register(&db).await;
        let (alive, died) =
            tokio::join!(workers::beat(&db.pool, &db.schema, id), workers::declare_dead(&db.pool, &db.schema, id, 0));
        assert_ne!(alive.unwrap(), died.unwrap());
    }
}

#[tokio::test]
async fn the_jobs_of_the_dead_come_back_and_only_those() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let (gone, alive) = (dead(&db).await, register(&db).await);
    for _ in 0..3 {
        db.push(&emails, "send").await;
    }
    let last = db.push_with(&emails, "send", PushOptions::default().max_attempts(1)).await;
    let lost = db.claim_as(&emails, Claimant::Worker(gone), 1).await.remove(0);
    let kept = db.claim_as(&emails, Claimant::Worker(alive), 1).await.remove(0);
    db.claim_and_let_expire(&emails).await;
    let spent = db.claim_as(&emails, Claimant::Worker(gone), 10).await;
    assert!(spent.iter().any(|job| job.id.job_id() == last));

    let rescued = jobs::rescue(&db.pool, &emails, &[gone], 100).await.unwrap();
    assert!(rescued.contains(&Rescued { id: lost.id.job_id(), became: Became::Retried }));
    assert!(rescued.contains(&Rescued { id: last, became: Became::Discarded }));
    assert!(rescued.iter().all(|job| job.id != kept.id.job_id()));
    assert_eq!(jobs::held(&db.pool, &emails, &[kept.id, lost.id]).await.unwrap().len(), 1);
    assert!(jobs::complete(&db.pool, &emails, &[lost.id]).await.unwrap().is_empty());
    assert!(jobs::rescue(&db.pool, &emails, &[gone], 100).await.unwrap().is_empty());

    let reason = format!("worker {gone} died while it ran the job");
    let said: Vec<String> = sqlx::query_scalar(
        "select errors->-1->>'error' from pg_queue_history
         union all select errors->-1->>'error' from queue_emails where errors is not null and lease_worker is null",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert!(said.len() >= 2 && said.iter().all(|said| *said == reason), "{said:?} {reason}");
}

#[tokio::test]
async fn a_rescued_job_is_the_next_attempt_of_somebody_else() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let gone = dead(&db).await;
    db.push(&emails, "send").await;
    let lost = db.claim_as(&emails, Claimant::Worker(gone), 1).await.remove(0);
    jobs::rescue(&db.pool, &emails, &[gone], 1).await.unwrap();
    let next = db.claim(&emails, 1).await.remove(0);
    assert_eq!((next.id.job_id(), next.id.attempt()), (lost.id.job_id(), 2));
}

#[tokio::test]
async fn rescuing_is_bounded_and_needs_somebody_dead() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let gone = dead(&db).await;
    db.push_many(&emails, &[1; 30], &PushOptions::default()).await;
    db.claim_as(&emails, Claimant::Worker(gone), 30).await;
    assert!(jobs::rescue(&db.pool, &emails, &[], 100).await.unwrap().is_empty());
    for left in [10, 10, 10, 0] {
        assert_eq!(jobs::rescue(&db.pool, &emails, &[gone], 10).await.unwrap().len(), left);
    }
}

#[tokio::test]
async fn rescuers_at_once_take_each_job_once() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let gone = dead(&db).await;
    db.push_many(&emails, &[1; 200], &PushOptions::default().max_attempts(1)).await;
    db.claim_as(&emails, Claimant::Worker(gone), 200).await;
    let rescuers = (0..4).map(|_| async {
        let mut mine = 0;
        loop {
            match jobs::rescue(&db.pool, &emails, &[gone], 9).await.unwrap().len() {
                0 => return mine,
                some => mine += some,
            }
        }
    });
    let mut rescued: usize = futures_util::future::join_all(rescuers).await.into_iter().sum();
    // A rescuer may have passed over what another had locked at that moment.
    rescued += jobs::rescue(&db.pool, &emails, &[gone], 1000).await.unwrap().len();
    assert_eq!(rescued, 200);
    assert_eq!(db.count("select count(distinct id) from pg_queue_history").await, 200);
}

#[tokio::test]
async fn a_job_just_claimed_by_a_worker_just_registered_is_not_touched_by_an_older_look() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let gone = dead(&db).await;
    db.push(&emails, "send").await;
    // The rescuer's snapshot is older than the newcomer and its claim.
    let mut old = db.pool.begin().await.unwrap();
    sqlx::query("set transaction isolation level repeatable read").execute(&mut *old).await.unwrap();
    sqlx::query("select count(*) from pg_queue_workers").execute(&mut *old).await.unwrap();
    let newcomer = register(&db).await;
    let claimed = db.claim_as(&emails, Claimant::Worker(newcomer), 1).await.remove(0);
    assert!(jobs::rescue(&mut *old, &emails, &[gone], 10).await.unwrap().is_empty());
    old.commit().await.unwrap();
    assert_eq!(jobs::held(&db.pool, &emails, &[claimed.id]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn orphans_are_the_workers_own_jobs_under_tokens_that_it_does_not_know() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let (me, other) = (WorkerId::random(), WorkerId::random());
    for _ in 0..4 {
        db.push(&emails, "send").await;
    }
    let known = db.claim_as(&emails, Claimant::Worker(me), 1).await.remove(0);
    let orphan = db.claim_as(&emails, Claimant::Worker(me), 1).await.remove(0);
    let theirs = db.claim_as(&emails, Claimant::Worker(other), 1).await.remove(0);
    let by_hand = db.claim(&emails, 1).await.remove(0);
    let released =
        jobs::release_orphans(&db.pool, &emails, me, &[known.id.token(), LeaseToken::random()], 10).await.unwrap();
    assert_eq!(released, [Rescued { id: orphan.id.job_id(), became: Became::Released }]);
    let held = jobs::held(&db.pool, &emails, &[known.id, orphan.id, theirs.id, by_hand.id]).await.unwrap();
    assert!(!held.contains(orphan.id) && held.len() == 3);
    let again = db.claim(&emails, 10).await.remove(0);
    assert_eq!((again.id.job_id(), again.id.attempt()), (orphan.id.job_id(), 1));
    let all = jobs::release_orphans(&db.pool, &emails, me, &[], 10).await.unwrap();
    assert_eq!(all, [Rescued { id: known.id.job_id(), became: Became::Released }]);
}

#[tokio::test]
async fn who_retires_without_jobs_is_forgotten_and_with_jobs_is_dead() {
    let db = database().await;
    let (empty_handed, laden) = (register(&db).await, register(&db).await);
    workers::retire(&db.pool, &db.schema, empty_handed, false).await.unwrap();
    workers::retire(&db.pool, &db.schema, laden, true).await.unwrap();
    let left = workers::observe(&db.pool, &db.schema).await.unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].id == laden && left[0].dead_for.is_some());
    assert!(!workers::beat(&db.pool, &db.schema, laden).await.unwrap());
    // Dead already: retiring does not take the row away from those who rescue.
    workers::retire(&db.pool, &db.schema, laden, false).await.unwrap();
    assert_eq!(workers::observe(&db.pool, &db.schema).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_dead_are_remembered_for_a_day() {
    let db = database().await;
    let (young, old, alive) = (dead(&db).await, dead(&db).await, register(&db).await);
    for (id, age) in [(young, "23 hours"), (old, "25 hours")] {
        let backdate = "update pg_queue_workers set dead_at = now() - $2::interval where to_hex(id) = ltrim($1, '0')";
        let aged = sqlx::query(sqlx::AssertSqlSafe(backdate.replace("$2::interval", &format!("interval '{age}'"))))
            .bind(id.to_string())
            .execute(&db.pool)
            .await
            .unwrap();
        assert_eq!(aged.rows_affected(), 1);
    }
    workers::prune(&db.pool, &db.schema).await.unwrap();
    let mut left: Vec<_> =
        workers::observe(&db.pool, &db.schema).await.unwrap().iter().map(|worker| worker.id.to_string()).collect();
    left.sort();
    let mut expected = vec![young.to_string(), alive.to_string()];
    expected.sort();
    assert_eq!(left, expected);
}

#[tokio::test]
async fn waiting_is_asked_for_lengthened_and_taken_back() {
    let db = database().await;
    let emails = db.queue("emails").await.queue().clone();
    let images = db.queue("images").await.queue().clone();
    let worker = WorkerId::random();
    let both = [emails.clone(), images, emails];
    workers::wait(&db.pool, &db.schema, &both, worker, Duration::ZERO).await.unwrap();
    assert_eq!(db.count("select count(*) from pg_queue_waiters where until > now()").await, 0);
    workers::wait(&db.pool, &db.schema, &both, worker, LONG).await.unwrap();
    workers::wait(&db.pool, &db.schema, &both[..1], WorkerId::random(), LONG).await.unwrap();
    assert_eq!(db.count("select count(*) from pg_queue_waiters where until > now()").await, 3);
    workers::unwait(&db.pool, &db.schema, worker).await.unwrap();
    assert_eq!(db.count("select count(*) from pg_queue_waiters").await, 1);
    sqlx::query("update pg_queue_waiters set until = now() - interval '2 hours'").execute(&db.pool).await.unwrap();
    workers::prune(&db.pool, &db.schema).await.unwrap();
    assert_eq!(db.count("select count(*) from pg_queue_waiters").await, 0);
}
