//! Unique keys: what becomes of the second job, one by one and inside of a batch.

use std::time::{Duration, SystemTime};

use pg_queue_core::{
    JobId, OnConflict, Priority, QueueTable, Unique, UniqueScope, UniqueUntil,
    jobs::{self, NewJob, PushOptions, PushOutcome},
};
use serde_json::json;
use sqlx::Connection;

use crate::support::{Db, LONG, database, given_back, soon, stop_at, until, wait_for_lock};

fn job(payload: i64, unique: Unique) -> NewJob {
    let mut job = NewJob::new("send", &payload).unwrap();
    job.options = PushOptions::default().unique(unique);
    job
}

async fn push(db: &Db, table: &QueueTable, job: &NewJob) -> PushOutcome {
    jobs::push(&mut db.pool.acquire().await.unwrap(), table, job).await.unwrap()
}

async fn push_many(db: &Db, table: &QueueTable, jobs: &[NewJob]) -> Vec<PushOutcome> {
    jobs::push_many(&mut db.pool.acquire().await.unwrap(), table, jobs).await.unwrap()
}

/// The payloads of the waiting jobs, by id.
async fn payloads(db: &Db) -> Vec<String> {
    sqlx::query_scalar("select payload::text from queue_emails order by id").fetch_all(&db.pool).await.unwrap()
}

fn replacing(key: &str) -> Unique {
    Unique::key(key).on_conflict(OnConflict::Replace)
}

fn debounced(key: &str, delay: u64, max: u64) -> Unique {
    let [delay, max] = [delay, max].map(Duration::from_secs);
    Unique::key(key).on_conflict(OnConflict::Debounce { delay, max })
}

fn remembered(key: &str, time: Duration) -> Unique {
    Unique::key(key).until(UniqueUntil::Elapsed(time))
}

#[tokio::test]
async fn a_replaced_job_has_everything_of_the_new_one_and_its_attempts_begin_anew() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let first = push(&db, &emails, &job(1, replacing("k"))).await;
    assert!(matches!(first, PushOutcome::Enqueued(_)));
    // It has failed once, and waits for its second attempt.
    let claimed = db.claim(&emails, 1).await.remove(0);
    jobs::end(&db.pool, &emails, &[crate::support::failed(claimed.id, "no route")]).await.unwrap();

    let run_at = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let mut second = NewJob::new("resend", &2).unwrap();
    second.options = PushOptions::default()
        .unique(replacing("k"))
        .run_at(run_at)
        .priority(Priority::HIGHEST)
        .max_attempts(7)
        .timeout(Duration::from_secs(9))
        .tag("again")
        .metadata("tenant", 17);
    assert_eq!(push(&db, &emails, &second).await, PushOutcome::Replaced(first.id()));
    let stored = jobs::get(&db.pool, &emails, first.id()).await.unwrap().unwrap();
    assert_eq!((stored.kind.as_str(), stored.payload.as_str(), stored.run_at), ("resend", "2", run_at));
    assert_eq!((stored.priority, stored.max_attempts, stored.attempt), (Priority::HIGHEST, 7, 0));
    assert_eq!((stored.tags.as_slice(), stored.errors.as_slice()), (["again".to_owned()].as_slice(), [].as_slice()));
    assert_eq!(stored.metadata["tenant"], json!(17));
    assert_eq!(db.count("select timeout_ms from queue_emails").await, 9000);
}

#[tokio::test]
async fn a_running_job_is_never_overwritten() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for unique in [replacing("k"), debounced("k", 60, 600), remembered("k", LONG).on_conflict(OnConflict::Replace)] {
        let first = push(&db, &emails, &job(1, unique.clone())).await.id();
        sqlx::query("update queue_emails set run_at = now()").execute(&db.pool).await.unwrap();
        let claimed = db.claim(&emails, 1).await.remove(0);
        assert_eq!(push(&db, &emails, &job(2, unique.clone())).await, PushOutcome::Duplicate(first));
        assert_eq!(payloads(&db).await, ["1"]);
        jobs::complete(&db.pool, &emails, &[claimed.id]).await.unwrap();
    }
    // Finished, its key is free again, unless it is remembered.
    assert!(matches!(push(&db, &emails, &job(3, replacing("k"))).await, PushOutcome::Enqueued(_)));
    let again = push(&db, &emails, &job(3, remembered("k", LONG).on_conflict(OnConflict::Replace))).await;
    assert!(matches!(again, PushOutcome::Duplicate(_)));
}

#[tokio::test]
async fn a_debounced_job_waits_from_the_last_call_on_but_not_for_ever() {
    let db = database().await;
    let emails = db.queue("emails").await;
    db.set_clock("timestamptz '2027-01-01 00:00+00'").await;
    let wait = "select extract(epoch from run_at - pg_queue_now())::bigint from queue_emails";
    let first = push(&db, &emails, &job(1, debounced("k", 30, 100))).await;
    assert!(matches!(first, PushOutcome::Enqueued(_)));
    assert_eq!(db.count(wait).await, 30);
    // Fifty seconds later it would be due; another call pushes it back, with its own payload.
    sqlx::query("update queue_emails set created_at = created_at - interval '50 s', run_at = run_at - interval '50 s'")
        .execute(&db.pool)
        .await
        .unwrap();
    assert_eq!(push(&db, &emails, &job(2, debounced("k", 30, 100))).await, PushOutcome::Debounced(first.id()));
    assert_eq!((db.count(wait).await, payloads(&db).await), (30, vec!["2".to_owned()]));
    // And not beyond 100 s after the first call.
    assert_eq!(push(&db, &emails, &job(3, debounced("k", 90, 100))).await, PushOutcome::Debounced(first.id()));
    assert_eq!(db.count(wait).await, 50);
    assert_eq!(payloads(&db).await, ["3"]);
}

#[tokio::test]
async fn a_delay_beyond_the_most_is_cut_at_the_first_call_already() {
    let db = database().await;
    let emails = db.queue("emails").await;
    push(&db, &emails, &job(1, debounced("k", 90, 20))).await;
    assert!(jobs::next_due(&db.pool, &emails).await.unwrap().unwrap() <= Duration::from_secs(20));
}

#[tokio::test]
async fn a_key_that_is_given_up_at_the_start_lets_the_next_one_wait_while_the_first_runs() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let waiting = || Unique::key("k").until(UniqueUntil::Started);
    let first = push(&db, &emails, &job(1, waiting())).await.id();
    assert_eq!(push(&db, &emails, &job(2, waiting())).await, PushOutcome::Duplicate(first));
    let running = db.claim(&emails, 1).await.remove(0);
    let second = push(&db, &emails, &job(3, waiting())).await;
    assert!(matches!(second, PushOutcome::Enqueued(_)));
    // The first one comes back, and does not claim its key again: both wait.
    jobs::end(&db.pool, &emails, &[given_back(running.id)]).await.unwrap();
    assert_eq!(payloads(&db).await, ["1", "3"]);
    assert_eq!(push(&db, &emails, &job(4, waiting())).await, PushOutcome::Duplicate(second.id()));
}

#[tokio::test]
async fn a_key_that_is_remembered_outlives_its_job_and_runs_out() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let images = db.queue("images").await;
    let first = push(&db, &emails, &job(1, remembered("k", LONG))).await.id();
    let done = db.claim(&emails, 1).await.remove(0);
    jobs::complete(&db.pool, &emails, &[done.id]).await.unwrap();
    assert_eq!(push(&db, &emails, &job(2, remembered("k", LONG))).await, PushOutcome::Duplicate(first));
    // Another queue, and keys that are held by their jobs, know nothing of it.
    assert!(matches!(push(&db, &images, &job(2, remembered("k", LONG))).await, PushOutcome::Enqueued(_)));
    assert!(matches!(push(&db, &emails, &job(2, Unique::key("k"))).await, PushOutcome::Enqueued(_)));
    sqlx::query("update pg_queue_unique_keys set expires_at = now()").execute(&db.pool).await.unwrap();
    assert!(matches!(push(&db, &emails, &job(3, remembered("k", LONG))).await, PushOutcome::Enqueued(_)));
    assert_eq!(jobs::prune_unique_keys(&db.pool, &db.schema, 10).await.unwrap(), 1);
    assert_eq!(db.count("select count(*) from pg_queue_unique_keys").await, 1);
}

#[tokio::test]
async fn a_queue_that_is_made_anew_remembers_no_keys_of_the_one_that_was_dropped() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let images = db.queue("images").await;
    for queue in [&emails, &images] {
        push(&db, queue, &job(1, remembered("k", LONG))).await;
    }
    assert!(pg_queue_core::queues::drop(&db.pool, &emails, true).await.unwrap());
    db.queue("emails").await;
    assert!(matches!(push(&db, &emails, &job(2, remembered("k", LONG))).await, PushOutcome::Enqueued(_)));
    assert!(matches!(push(&db, &images, &job(2, remembered("k", LONG))).await, PushOutcome::Duplicate(_)));
}

#[tokio::test]
async fn a_key_of_a_kind_is_apart_from_that_of_another_kind() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let of_kind = |kind: &str, scope| {
        let mut job = NewJob::new(kind, &1).unwrap();
        job.options = PushOptions::default().unique(Unique::key("k").scope(scope));
        job
    };
    let first = push(&db, &emails, &of_kind("send", UniqueScope::Kind)).await;
    assert!(matches!(push(&db, &emails, &of_kind("resend", UniqueScope::Kind)).await, PushOutcome::Enqueued(_)));
    assert_eq!(push(&db, &emails, &of_kind("send", UniqueScope::Kind)).await, PushOutcome::Duplicate(first.id()));
    assert!(matches!(push(&db, &emails, &of_kind("send", UniqueScope::Queue)).await, PushOutcome::Enqueued(_)));
    assert!(matches!(push(&db, &emails, &of_kind("resend", UniqueScope::Queue)).await, PushOutcome::Duplicate(_)));
}

#[tokio::test]
async fn a_batch_is_answered_as_if_its_jobs_came_one_after_the_other() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let batch = [
        NewJob::raw(&0).unwrap(),
        job(1, Unique::key("kept")),
        job(2, replacing("replaced")),
        job(3, Unique::key("kept")),
        job(4, replacing("replaced")),
        job(5, debounced("debounced", 60, 600)),
        job(6, debounced("debounced", 60, 600)),
        job(7, remembered("kept", LONG)),
        job(8, remembered("kept", LONG)),
        job(9, Unique::key("mixed")),
        job(10, replacing("mixed")),
        job(11, Unique::key("mixed")),
    ];
    use PushOutcome::{Debounced, Duplicate, Enqueued, Replaced};
    let outcomes = push_many(&db, &emails, &batch).await;
    let ids: Vec<JobId> = outcomes.iter().map(|outcome| outcome.id()).collect();
    assert_eq!(
        outcomes,
        [
            Enqueued(ids[0]),
            Enqueued(ids[1]),
            Enqueued(ids[2]),
            Duplicate(ids[1]),
            Replaced(ids[2]),
            Enqueued(ids[5]),
            Debounced(ids[5]),
            Enqueued(ids[7]),
            Duplicate(ids[7]),
            Enqueued(ids[9]),
            Replaced(ids[9]),
            Duplicate(ids[9]),
        ]
    );
    let mut stored = payloads(&db).await;
    stored.sort();
    assert_eq!(stored, ["0", "1", "10", "4", "6", "7"]);

    // The same once more, with everybody there.
    let outcomes = push_many(&db, &emails, &batch).await;
    assert_eq!(
        outcomes[1..],
        [
            Duplicate(ids[1]),
            Replaced(ids[2]),
            Duplicate(ids[1]),
            Replaced(ids[2]),
            Debounced(ids[5]),
            Debounced(ids[5]),
            Duplicate(ids[7]),
            Duplicate(ids[7]),
            Duplicate(ids[9]),
            Replaced(ids[9]),
            Duplicate(ids[9]),
        ]
    );
    assert_eq!(db.count("select count(*) from queue_emails").await, 7);
}

/// The line of the issue: 10,000 jobs in one call, of which 3,000 repeat a key of the batch and 3,000 meet the table.
#[tokio::test]
async fn ten_thousand_jobs_with_duplicates_inside_and_outside_are_answered_exactly() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let there: Vec<NewJob> = (0..3000).map(|n| job(n, Unique::key(format!("there {n}")))).collect();
    let there: Vec<JobId> = push_many(&db, &emails, &there).await.into_iter().map(PushOutcome::id).collect();
    // 4,000 that are new, 3,000 that repeat one of those, 3,000 that are there; in an order that mixes all of them.
    let key = |n: i64| match n * 7919 % 10_000 {
        n @ 0..4000 => format!("new {n}"),
        n @ 4000..7000 => format!("new {}", n - 4000),
        n => format!("there {}", n - 7000),
    };
    let keys: Vec<String> = (0..10_000).map(key).collect();
    let batch: Vec<NewJob> = keys.iter().zip(0..).map(|(key, n)| job(n, Unique::key(key.as_str()))).collect();
    let outcomes = push_many(&db, &emails, &batch).await;
    assert_eq!(outcomes.len(), 10_000);
    let mut first = std::collections::HashMap::new();
    for (key, outcome) in keys.iter().zip(&outcomes) {
        let expected = match key.strip_prefix("there ") {
            Some(n) => PushOutcome::Duplicate(there[n.parse::<usize>().unwrap()]),
            None => match first.get(key) {
                Some(id) => PushOutcome::Duplicate(*id),
                None => {
                    first.insert(key, outcome.id());
                    PushOutcome::Enqueued(outcome.id())
                }
            },
        };
        assert_eq!(*outcome, expected, "{key}");
    }
    let count = |outcome: fn(&PushOutcome) -> bool| outcomes.iter().filter(|it| outcome(it)).count();
    assert_eq!(count(|outcome| matches!(outcome, PushOutcome::Enqueued(_))), 4000);
    assert_eq!(count(|outcome| matches!(outcome, PushOutcome::Duplicate(_))), 6000);
    assert_eq!(db.count("select count(*) from queue_emails").await, 7000);
    assert_eq!(db.count("select count(distinct unique_key) from queue_emails").await, 7000);
}

#[tokio::test]
async fn a_batch_longer_than_one_statement_takes_is_all_or_none() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let many: Vec<NewJob> = (0..25_000).map(|n| NewJob::raw(&n).unwrap()).collect();
    let outcomes = push_many(&db, &emails, &many).await;
    assert!(outcomes.is_sorted_by_key(|outcome| outcome.id()));
    let mut connection = db.connect().await;
    sqlx::raw_sql(
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$;
         create trigger refuse before insert on queue_emails for each row
         when (new.payload::text = '24999') execute function refuse()",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    assert!(jobs::push_many(&mut connection, &emails, &many).await.is_err());
    assert_eq!(db.count("select count(*) from queue_emails").await, 25_000);
}

#[tokio::test]
async fn a_replace_and_a_claim_at_the_same_moment_come_one_after_the_other() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let id = push(&db, &emails, &job(1, replacing("k"))).await.id();
    // A claim that has not committed yet holds the row.
    let mut claiming = db.connect().await;
    let mut claim = claiming.begin().await.unwrap();
    sqlx::query("update queue_emails set lease_token = 7, attempt = 1").execute(&mut *claim).await.unwrap();
    let replacing = tokio::spawn({
        let (pool, emails) = (db.pool.clone(), emails.clone());
        async move {
            let job = job(2, replacing("k"));
            jobs::push(&mut pool.acquire().await.unwrap(), &emails, &job).await.unwrap()
        }
    });
    wait_for_lock(&db, "transactionid").await;
    claim.commit().await.unwrap();
    assert_eq!(replacing.await.unwrap(), PushOutcome::Duplicate(id));
    assert_eq!(payloads(&db).await, ["1"], "what runs is what was claimed");
}

#[tokio::test]
async fn a_key_that_is_freed_while_somebody_waits_for_it_is_taken() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for unique in [Unique::key("k"), replacing("k")] {
        push(&db, &emails, &job(1, unique.clone())).await;
        let claimed = db.claim(&emails, 1).await.remove(0);
        let mut completing = db.pool.begin().await.unwrap();
        jobs::complete_one(&mut *completing, &emails, claimed.id, None).await.unwrap();
        let pushing = tokio::spawn({
            let (pool, emails) = (db.pool.clone(), emails.clone());
            async move { jobs::push(&mut pool.acquire().await.unwrap(), &emails, &job(2, unique)).await.unwrap() }
        });
        wait_for_lock(&db, "transactionid").await;
        completing.commit().await.unwrap();
        assert!(matches!(pushing.await.unwrap(), PushOutcome::Enqueued(_)));
        assert_eq!(payloads(&db).await, ["2"]);
        sqlx::query("truncate queue_emails").execute(&db.pool).await.unwrap();
    }
}

/// Two transactions enqueue and touch the same row of the application's, in opposite order. Whatever they enqueue, unless it
/// is the very same key, they must not wait for each other in a circle through us.
#[tokio::test]
async fn two_transactions_that_touch_one_row_in_opposite_order_do_not_deadlock_through_us() {
    let db = database().await;
    let emails = db.queue("emails").await;
    sqlx::raw_sql("create table accounts (id int primary key, n bigint); insert into accounts values (1, 0)")
        .execute(&db.pool)
        .await
        .unwrap();
    let pairs = [
        [NewJob::raw(&1).unwrap(), NewJob::raw(&2).unwrap()],
        [job(1, Unique::key("a")), job(2, Unique::key("b"))],
        [job(1, replacing("a")), job(2, replacing("b"))],
        [job(1, debounced("a", 1, 2)), job(2, debounced("b", 1, 2))],
        [job(1, remembered("a", LONG)), job(2, remembered("b", LONG))],
        [NewJob::raw(&1).unwrap(), job(2, replacing("a"))],
    ];
    for pair in pairs {
        // Both keys are there already, so that nothing is new about them.
        push_many(&db, &emails, &pair).await;
        let [first, second] = pair;
        let touch = "update accounts set n = n + 1 where id = 1";
        let mut one = db.pool.begin().await.unwrap();
        let mut other = db.pool.begin().await.unwrap();
        // One enqueues first, the other touches the row first.
        jobs::push(&mut one, &emails, &first).await.unwrap();
        sqlx::query(touch).execute(&mut *other).await.unwrap();
        let touching = tokio::spawn(async move {
            sqlx::query(touch).execute(&mut *one).await.unwrap();
            one.commit().await.unwrap();
        });
        wait_for_lock(&db, "transactionid").await;
        // It waits for the row. The other enqueues nevertheless, and commits.
        jobs::push(&mut other, &emails, &second).await.unwrap();
        other.commit().await.unwrap();
        touching.await.unwrap();
    }
    assert_eq!(db.count("select n from accounts").await, 12);
}

#[tokio::test]
async fn two_batches_that_meet_on_several_keys_do_not_deadlock() {
    let db = database().await;
    let emails = db.queue("emails").await;
    for unique in [Unique::key as fn(String) -> Unique, |key| replacing(&key), |key| remembered(&key, LONG)] {
        let batch = |order: bool| {
            let mut keys: Vec<i64> = (0..300).collect();
            if order {
                keys.reverse();
            }
            keys.into_iter().map(|n| job(n, unique(format!("key {n}")))).collect::<Vec<_>>()
        };
        let pushing = (0..6).map(|n| {
            let (pool, emails, batch) = (db.pool.clone(), emails.clone(), batch(n % 2 == 0));
            tokio::spawn(
                async move { jobs::push_many(&mut pool.acquire().await.unwrap(), &emails, &batch).await.unwrap() },
            )
        });
        for pushed in futures_util::future::join_all(pushing).await {
            assert_eq!(pushed.unwrap().len(), 300);
        }
        assert_eq!(db.count("select count(*) from queue_emails").await, 300);
        sqlx::query("truncate queue_emails").execute(&db.pool).await.unwrap();
    }
}

/// What they do about a key is another statement for each of the two.
#[tokio::test]
async fn two_batches_of_which_each_replaces_what_the_other_keeps_do_not_deadlock() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let gate = stop_at(&db, "1").await;
    let spawn = |batch: [NewJob; 2]| {
        let (pool, emails) = (db.pool.clone(), emails.clone());
        tokio::spawn(async move { jobs::push_many(&mut pool.acquire().await.unwrap(), &emails, &batch).await })
    };
    let one = spawn([job(1, replacing("a")), job(2, Unique::key("b"))]);
    wait_for_lock(&db, "advisory").await;
    let other = spawn([job(3, Unique::key("a")), job(4, replacing("b"))]);
    let waits = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'transactionid'";
    until(async || other.is_finished() || db.count(waits).await == 1).await;
    drop(gate);
    let (one, other) = (one.await.unwrap().unwrap(), other.await.unwrap().unwrap());
    assert_eq!(one, [PushOutcome::Replaced(other[0].id()), PushOutcome::Duplicate(other[1].id())]);
    assert_eq!(payloads(&db).await, ["1", "4"]);
}

/// A plan that a prepared statement keeps knows nothing of how many there are.
#[tokio::test]
async fn ten_thousand_remembered_jobs_are_replaced_soon_by_a_kept_plan_as_well() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut connection = db.connect().await;
    sqlx::query("set plan_cache_mode = force_generic_plan").execute(&mut connection).await.unwrap();
    let batch: Vec<NewJob> =
        (0..10_000).map(|n| job(n, remembered(&format!("key {n}"), LONG).on_conflict(OnConflict::Replace))).collect();
    let first = jobs::push_many(&mut connection, &emails, &batch).await.unwrap();
    let again = soon(jobs::push_many(&mut connection, &emails, &batch)).await.unwrap();
    let replaced: Vec<_> = first.into_iter().map(|outcome| PushOutcome::Replaced(outcome.id())).collect();
    assert_eq!(again, replaced);
}

#[tokio::test]
async fn the_second_of_two_in_repeatable_read_is_an_error_as_the_docs_say() {
    let db = database().await;
    let emails = db.queue("emails").await;
    let mut old = db.pool.begin().await.unwrap();
    sqlx::raw_sql("set transaction isolation level repeatable read; select 1").execute(&mut *old).await.unwrap();
    push(&db, &emails, &job(1, Unique::key("k"))).await;
    let refused = jobs::push(&mut old, &emails, &job(2, Unique::key("k"))).await.unwrap_err();
    assert!(refused.to_string().contains("40001"), "{refused}");
}
