//! How a service tests its jobs: what it enqueues, one job, all jobs, and what happens when.

use std::time::Duration;

use pg_queue::{
    PgQueue,
    testing::{Clock, Ended, assert_enqueued, drain, refute_enqueued, run},
};
use pg_queue_embedded::{Database, shared};

use crate::service::{Mailer, Remind, Welcome, set_up, sign_up, worker};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A database of the test's own; `#[sqlx::test]` gives one, too. It is dropped together with the first value.
async fn database() -> anyhow::Result<(Database, PgQueue)> {
    let database = Database::create(shared()).await?;
    let mgr = PgQueue::new(database.pool().await?);
    set_up(&mgr).await?;
    Ok((database, mgr))
}

async fn signed_up(mgr: &PgQueue, emails: &[&str]) -> anyhow::Result<()> {
    let mut tx = mgr.pool().begin().await?;
    for email in emails {
        sign_up(mgr, &mut tx, email).await?;
    }
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn who_signs_up_is_welcomed_and_reminded_later() -> anyhow::Result<()> {
    let (_database, mgr) = database().await?;
    let mut tx = mgr.pool().begin().await?;
    sign_up(&mgr, &mut tx, "ada@example.com").await?;
    assert_enqueued!(mgr.on(&mut tx), Welcome { email: "ada@example.com".into() });
    let later = Clock::of(&mgr).await?.now().await? + 2 * DAY;
    assert_enqueued!(mgr.on(&mut tx), 1, Remind, |remind, job| remind.email.starts_with("ada") && job.run_at > later);
    // Nobody else sees any of it before the commit, and nobody ever does after a rollback.
    refute_enqueued!(&mgr, Welcome);
    tx.rollback().await?;
    refute_enqueued!(&mgr, Remind);
    Ok(())
}

#[tokio::test]
async fn a_welcome_is_tried_again_while_the_mail_server_is_away() -> anyhow::Result<()> {
    let (_database, mgr) = database().await?;
    let welcome = || Welcome { email: "ada@example.com".into() };
    let ran = run(&mgr, Mailer::default(), welcome()).await?;
    assert_eq!(ran.assert_completed().output::<usize>()?, Some(1));

    let ran = run(&mgr, Mailer::away(), welcome()).await?;
    assert!(matches!(ran.ended, Ended::Retried { delay, .. } if delay >= Duration::from_secs(9 * 60)));
    let ran = run(&mgr, Mailer::away(), welcome()).last_attempt().await?;
    assert_eq!(ran.ended, Ended::Discarded { error: "the mail server is away".into() });
    Ok(())
}

#[tokio::test]
async fn all_that_sign_up_are_welcomed_once() -> anyhow::Result<()> {
    let (_database, mgr) = database().await?;
    signed_up(&mgr, &["ada@example.com", "grace@example.com"]).await?;
    let mailer = Mailer::default();
    let report = drain(worker(&mgr, &mailer)?).await?;
    report.assert_all_completed();
    assert_eq!(report.errors(), []);
    assert_eq!(mailer.sent(), ["welcome, ada@example.com", "welcome, grace@example.com"]);
    Ok(())
}

#[tokio::test]
async fn a_mail_server_that_stays_away_costs_three_attempts() -> anyhow::Result<()> {
    let (_database, mgr) = database().await?;
    run(&mgr, Mailer::away(), Welcome { email: "ada@example.com".into() }).await?;
    let report = drain(worker(&mgr, &Mailer::away())?).with_scheduled().await?;
    assert_eq!((report.retried(), report.discarded()), (1, 1));
    assert_eq!(report.errors()[1].attempt, 3);
    Ok(())
}

#[tokio::test]
async fn only_who_has_not_confirmed_is_reminded_after_three_days() -> anyhow::Result<()> {
    let (_database, mgr) = database().await?;
    let clock = Clock::of(&mgr).await?;
    signed_up(&mgr, &["ada@example.com", "grace@example.com"]).await?;
    let mailer = Mailer::default();
    let worker = worker(&mgr, &mailer)?;
    drain(&worker).await?.assert_all_completed();
    sqlx::raw_sql("update users set confirmed = true where email like 'ada%'").execute(mgr.pool()).await?;

    clock.advance(2 * DAY).await?;
    assert!(drain(&worker).await?.runs().is_empty());
    clock.advance(DAY).await?;
    let report = drain(&worker).await?;
    assert_eq!((report.completed(), report.cancelled()), (1, 1));
    assert_eq!(mailer.sent()[2..], ["still there, grace@example.com?"]);
    Ok(())
}
