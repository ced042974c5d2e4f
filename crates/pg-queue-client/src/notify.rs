//! Sending notifications.

use std::sync::Arc;

use pg_queue_core::topics::{self, NotifyError};

use crate::shared::Shared;

/// Sends notifications: to whoever listens on a channel at that moment, in any process.
#[derive(Debug, Clone)]
pub struct Notifier {
    shared: Arc<Shared>,
}

impl Notifier {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sends `payload`, at most 7,999 bytes, to the listeners of `channel`. Channel names longer than PostgreSQL's 63
    /// bytes are hashed on the way, here and in [`Listener::listen`](crate::Listener::listen).
    ///
    /// # Errors
    /// The channel or the payload cannot be used, or the database failed.
    pub async fn notify(&self, channel: &str, payload: &str) -> Result<(), NotifyError> {
        let schema = &self.shared.schema;
        self.shared.run(async |connection| topics::notify(connection, schema, channel, payload).await).await
    }
}
