//! The connection that listens.

use std::{io, mem, sync::Arc, time::Duration};

use pg_queue_core::{DatabaseError, Schema};
use sqlx::{
    Acquire, Executor, PgConnection,
    postgres::{PgListener, PgNotification, PgPoolOptions},
};
use tokio::time::{error::Elapsed, timeout};

use super::{address::Address, pooled::share};
use crate::connection::{self, no_answer};

/// How long the server may take to answer anything that is asked on this connection.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no connection that listens.
#[derive(Debug)]
pub(super) enum NotOpen {
    /// It could not be opened.
    Failed(DatabaseError),
    /// It would go through a pooler that hands out server connections by transaction: notifications would not arrive.
    Unheard,
}

/// What can go wrong on an open connection.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// The server did not want to; the connection stands.
    Refused(Arc<DatabaseError>),
    /// The connection is gone.
    Lost(Arc<DatabaseError>),
    /// The connection is there, and nobody answers on it.
    Silent,
}

impl Fault {
    pub(super) fn error(&self) -> Arc<DatabaseError> {
        match self {
            Self::Refused(error) | Self::Lost(error) => Arc::clone(error),
            Self::Silent => Arc::new(no_answer(ANSWER_TIMEOUT)),
        }
    }
}

/// An open connection that listens. All that it is asked is answered in bounded time, but for [`next`](Self::next).
pub(super) struct Line {
    listener: PgListener,
    schema: Schema,
}

impl Line {
    /// Opens a connection that listens on `channels`.
    pub(super) async fn open(
        address: &Address,
        channels: impl Iterator<Item = &str>,
        silent: &mut Option<Self>,
    ) -> Result<Self, NotOpen> {
        let schema = &address.schema;
        if address.is_the_poolers() {
            return Err(NotOpen::Unheard);
        }
        let options = address.options();
        // The pool below hides why it cannot connect; this tells it at once.
        let mut first = connection::connect(&options, schema).await?;
        if schema.is_pooled() {
            // That one is meant to go past the pooler. Whether it does is looked at before anything is left there.
            let mut other = connection::connect(&options, schema).await?;
            let shared = timeout(ANSWER_TIMEOUT, share(&mut first, &mut other, schema)).await;
            connection::close(other).await;
            if shared.unwrap_or_else(|_| Err(no_answer(ANSWER_TIMEOUT)))? {
                return Err(NotOpen::Unheard);
            }
        }
        match silent.take() {
            Some(silent) => silent.bury(first).await,
            None => connection::close(first).await,
        }
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ANSWER_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options);
        let failed = |error| NotOpen::Failed(DatabaseError::new(error, schema));
        let mut line =
            Self { listener: PgListener::connect_with(&pool).await.map_err(failed)?, schema: schema.clone() };
        // Reconnecting is the supervisor's business: only there is everybody told.
        line.listener.eager_reconnect(false);
        match timeout(ANSWER_TIMEOUT, line.listener.listen_all(channels)).await {
            Ok(listening) => listening.map_err(failed)?,
            Err(_) => {
                *silent = Some(line);
                return Err(no_answer(ANSWER_TIMEOUT).into());
            }
        }
        Ok(line)
    }

    /// Ends a line on which nobody answers, given a connection that works.
    ///
    /// When it is dropped, sqlx's listener sends an UNLISTEN from a task of its own and waits for the answer: on a silent
    /// connection for as long as the kernel resends, a quarter of an hour. So it gets the working connection to do that
    /// on, and the silent one is dropped.
    async fn bury(mut self, mut working: PgConnection) {
        if let Ok(silent) = Acquire::acquire(&mut self.listener).await {
            mem::swap(silent, &mut working);
        }
    }

    /// The next notification. Cancel safe: sqlx takes a message out of its buffer only when all of it is there.
    pub(super) async fn next(&mut self) -> Result<PgNotification, Fault> {
        match self.listener.try_recv().await {
            Ok(Some(notification)) => Ok(notification),
            Ok(None) => Err(lost(closed(), &self.schema)),
            Err(error) => Err(lost(error, &self.schema)),
        }
    }

    /// Listens on all of `channels`, or on none of them.
    pub(super) async fn listen(&mut self, channels: &[String]) -> Result<(), Fault> {
        if channels.is_empty() {
            return Ok(());
        }
        let listening = self.listener.listen_all(channels.iter().map(String::as_str));
        answered(timeout(ANSWER_TIMEOUT, listening).await, &self.schema)
    }

    pub(super) async fn unlisten(&mut self, channel: &str) -> Result<(), Fault> {
        answered(timeout(ANSWER_TIMEOUT, self.listener.unlisten(channel)).await, &self.schema)
    }

    /// Asks for a sign of life.
    pub(super) async fn probe(&mut self) -> Result<(), Fault> {
        let probing = self.listener.execute(include_str!("probe.sql"));
        answered(timeout(ANSWER_TIMEOUT, probing).await.map(|done| done.map(drop)), &self.schema)
    }
}

impl From<DatabaseError> for NotOpen {
    fn from(error: DatabaseError) -> Self {
        Self::Failed(error)
    }
}

fn closed() -> sqlx::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the listener's connection was closed").into()
}

fn lost(error: sqlx::Error, schema: &Schema) -> Fault {
    Fault::Lost(Arc::new(DatabaseError::new(error, schema)))
}

fn answered(outcome: Result<Result<(), sqlx::Error>, Elapsed>, schema: &Schema) -> Result<(), Fault> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            // 57P..: the server is about to end this connection, or all of them.
            let refused = (error.as_database_error()).is_some_and(|e| e.code().is_none_or(|c| !c.starts_with("57P")));
            match lost(error, schema) {
                Fault::Lost(error) if refused => Err(Fault::Refused(error)),
                fault => Err(fault),
            }
        }
        Err(_) => Err(Fault::Silent),
    }
}
