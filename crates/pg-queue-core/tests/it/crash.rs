//! The server crashes: what was answered as kept is there, and what was undone cannot be mistaken for what came after.

use std::{sync::Arc, time::Duration};

use pg_queue_core::{
    QueueTable, Schema, WorkerId,
    jobs::{self, Claimant, NewJob},
    migrate, queues,
    workers::{self, Registration},
};
use pg_queue_embedded::{Halt, Server, Settings};
use sqlx::{Connection, PgConnection};

use crate::support::{LONG, claim_on, table};

/// A server of the test's own, on disk, whose log writer leaves a commit that did not wait in memory.
async fn crashing_server() -> (Arc<Server>, PgConnection, QueueTable) {
    let settings = Settings::durable().with("wal_writer_delay", "10s").with("restore_command", "false");
    let server = Arc::new(Server::start(settings).unwrap());
    let mut connection = connect(&server).await;
    migrate::run(&mut connection, &Schema::default()).await.unwrap();
    let emails = table("emails");
    queues::create(&mut connection, &emails).await.unwrap();
    (server, connection, emails)
}

async fn connect(server: &Server) -> PgConnection {
    PgConnection::connect(&server.admin_url()).await.unwrap()
}

/// Ends the server without letting it write anything more, starts it again, and connects.
async fn crash(server: &Arc<Server>) -> PgConnection {
    let crashing = Arc::clone(server);
    let crashed = tokio::task::spawn_blocking(move || {
        crashing.halt(Halt::Immediate).unwrap();
        crashing.resume().unwrap();
    });
    crashed.await.unwrap();
    connect(server).await
}

/// The application may have switched `synchronous_commit` off. First claim: the worker runs the job. Crash: the row was
/// never claimed. Second claim: another worker runs it. A lease that were a number counted up in the row would be the
/// same again, and the first worker would end the second one's job.
#[tokio::test]
async fn a_claim_that_a_crash_undid_does_not_fit_the_claim_after_it() {
    let (server, mut connection, emails) = crashing_server().await;
    jobs::push(&mut connection, &emails, &NewJob::raw(&1).unwrap()).await.unwrap();
    sqlx::query("set synchronous_commit = off").execute(&mut connection).await.unwrap();
    let claimant = || Claimant::Worker(WorkerId::random());
    let undone = claim_on(&mut connection, &emails, claimant(), 1).await.remove(0).id;

    let mut connection = crash(&server).await;
    let held = jobs::held(&mut connection, &emails, &[undone]).await.unwrap();
    assert!(held.is_empty(), "the claim was to be lost, or this shows nothing");
    let second = claim_on(&mut connection, &emails, claimant(), 1).await.remove(0).id;
    assert_eq!((second.job_id(), second.attempt()), (undone.job_id(), undone.attempt()));
    assert!(jobs::complete(&mut connection, &emails, &[undone]).await.unwrap().is_empty());
    assert_eq!(jobs::held(&mut connection, &emails, &[undone, second]).await.unwrap().len(), 1);
    assert!(jobs::complete(&mut connection, &emails, &[second]).await.unwrap().contains(second));
}

/// Others count from the beat that they have seen. Whoever was answered counts from that one too, and must not be found at
/// an older one after the crash.
#[tokio::test]
async fn a_worker_and_its_beats_survive_a_crash_whatever_the_application_commits_like() {
    let (server, mut connection, emails) = crashing_server().await;
    let registration = Registration {
        id: WorkerId::random(),
        name: "host 1".to_owned(),
        queues: vec![emails.queue().clone()],
        kinds: Vec::new(),
        beat_interval: Duration::from_secs(5),
    };
    let schema = Schema::default();
    sqlx::query("set synchronous_commit = off").execute(&mut connection).await.unwrap();
    workers::register(&mut connection, &schema, &registration).await.unwrap();
    let mut connection = crash(&server).await;
    for beats in 1..=2 {
        sqlx::query("set synchronous_commit = off").execute(&mut connection).await.unwrap();
        assert!(workers::beat(&mut connection, &schema, registration.id).await.unwrap());
        connection = crash(&server).await;
        let seen = workers::observe(&mut connection, &schema).await.unwrap();
        assert_eq!((seen.len(), seen[0].id, seen[0].beat), (1, registration.id, beats));
    }
}

#[tokio::test]
async fn an_acknowledged_enqueue_survives_a_crash() {
    let (server, mut connection, emails) = crashing_server().await;
    let mut pushed = Vec::new();
    for n in 0..20 {
        pushed.push(jobs::push(&mut connection, &emails, &NewJob::raw(&n).unwrap()).await.unwrap().id());
        if n % 10 == 9 {
            connection = crash(&server).await;
        }
    }
    let claimed = claim_on(&mut connection, &emails, Claimant::HandDriven(LONG), 100).await;
    assert_eq!(claimed.iter().map(|job| job.id.job_id()).collect::<Vec<_>>(), pushed);
}

/// What tells observers whether the beats that they have seen still count.
#[tokio::test]
async fn the_timeline_is_another_one_after_a_failover_and_the_same_after_a_crash() {
    let (server, mut connection, _) = crashing_server().await;
    let schema = Schema::default();
    let first = workers::timeline(&mut connection, &schema).await.unwrap();
    let mut connection = crash(&server).await;
    assert_eq!(workers::timeline(&mut connection, &schema).await.unwrap(), first);
    // It reads its log as one that takes over does, a standby or a restored backup, and goes on where that ends.
    std::fs::write(server.data_dir().unwrap().join("recovery.signal"), "").unwrap();
    let mut connection = crash(&server).await;
    assert_ne!(workers::timeline(&mut connection, &schema).await.unwrap(), first);
}
