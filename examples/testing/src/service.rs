//! People sign up, get a mail of welcome at once and, unless they have confirmed by then, a reminder after three days.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use pg_queue::{Context, Failure, Handler, Job, Outcome, PgQueue, QueueName, Worker};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tokio::sync::Notify;

/// How long a reminder waits.
const PATIENCE: Duration = Duration::from_secs(3 * 24 * 3600);

pub(crate) async fn set_up(mgr: &PgQueue) -> anyhow::Result<()> {
    mgr.migrate().await?;
    mgr.queue.create(&QueueName::new("emails")?).await?;
    let users = "create table users (email text primary key, confirmed boolean not null default false)";
    sqlx::raw_sql(users).execute(mgr.pool()).await?;
    Ok(())
}

/// In a transaction of the caller's: there is a user with two jobs, or nothing of that.
pub(crate) async fn sign_up(mgr: &PgQueue, tx: &mut PgConnection, email: &str) -> anyhow::Result<()> {
    sqlx::query("insert into users (email) values ($1)").bind(email).execute(&mut *tx).await?;
    Welcome { email: email.to_owned() }.enqueue(mgr.on(&mut *tx)).await?;
    Remind { email: email.to_owned() }.enqueue(mgr.on(tx)).delay(PATIENCE).tag("reminder").await?;
    Ok(())
}

pub(crate) fn worker(mgr: &PgQueue, mailer: &Mailer) -> anyhow::Result<Worker<Mailer>> {
    Ok(Worker::builder().register::<Welcome>().register::<Remind>().build(mgr, mailer.clone())?)
}

#[derive(Debug, Serialize, Deserialize, Job)]
#[job(queue = "emails", max_attempts = 3, backoff = "constant(10m)")]
pub(crate) struct Welcome {
    pub(crate) email: String,
}

impl Handler<Mailer> for Welcome {
    async fn run(self, ctx: Context<Mailer>) -> Result<Outcome, Failure> {
        let number = ctx.state().send(format!("welcome, {}", self.email))?;
        ctx.output(&number)?;
        Ok(Outcome::Complete)
    }
}

#[derive(Debug, Serialize, Deserialize, Job)]
#[job(queue = "emails")]
pub(crate) struct Remind {
    pub(crate) email: String,
}

impl Handler<Mailer> for Remind {
    async fn run(self, ctx: Context<Mailer>) -> Result<Outcome, Failure> {
        let user = sqlx::query_scalar("select confirmed from users where email = $1").bind(&self.email);
        match user.fetch_optional(ctx.pool()).await? {
            None => return Err(Failure::discard("there is no such user")),
            Some(true) => return Ok(Outcome::Cancel),
            Some(false) => {}
        }
        ctx.state().send(format!("still there, {}?", self.email))?;
        Ok(Outcome::Complete)
    }
}

/// Stands for a mail server.
#[derive(Clone, Default)]
pub(crate) struct Mailer(Arc<Post>);

#[derive(Default)]
struct Post {
    sent: Mutex<Vec<String>>,
    is_away: AtomicBool,
    rung: Notify,
}

impl Mailer {
    fn send(&self, mail: String) -> Result<usize, &'static str> {
        if self.0.is_away.load(SeqCst) {
            return Err("the mail server is away");
        }
        let mut sent = self.0.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push(mail);
        self.0.rung.notify_one();
        Ok(sent.len())
    }

    pub(crate) fn sent(&self) -> Vec<String> {
        self.0.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn has_sent(&self, count: usize) {
        while self.sent().len() < count {
            self.0.rung.notified().await;
        }
    }

    #[cfg(test)]
    pub(crate) fn away() -> Self {
        let mailer = Self::default();
        mailer.0.is_away.store(true, SeqCst);
        mailer
    }
}
