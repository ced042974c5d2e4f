//! How the messages of a process reach a log.

use pg_queue_core::{
    DatabaseError,
    logs::{self as statements, LogError, LogMessage, LogName, LogPublishError, Position},
};

use crate::{
    batches::repeated_database,
    link::Link,
    publisher::{Destination, Publisher},
    shared::Shared,
};

impl Destination for LogName {
    type Message = LogMessage;
    type Answer = Position;
    type Error = LogPublishError;

    fn publisher(shared: &Shared) -> &Publisher<Self> {
        &shared.log_publisher
    }

    fn bytes(message: &LogMessage) -> usize {
        message.bytes()
    }

    async fn send(
        &self,
        link: &mut Link,
        shared: &Shared,
        messages: &[LogMessage],
    ) -> Result<Vec<Position>, LogPublishError> {
        let table = self.table(&shared.schema);
        let sent = link.run(async |connection| statements::publish(connection, &table, messages).await).await?;
        shared.bells.ring(&self.wake_key());
        Ok(sent)
    }

    fn repeated(error: LogPublishError, count: usize) -> Vec<LogPublishError> {
        match error {
            LogPublishError::Log(LogError::Database(error)) => {
                repeated_database(error, count).into_iter().map(|error| LogError::Database(error).into()).collect()
            }
            LogPublishError::Log(LogError::Missing(log)) => {
                (0..count).map(|_| LogError::Missing(log.clone()).into()).collect()
            }
            // All that a statement fails with is above.
            other => vec![other],
        }
    }

    fn unconnected(error: DatabaseError) -> LogPublishError {
        LogError::Database(error).into()
    }

    fn interrupted() -> LogPublishError {
        LogPublishError::Interrupted
    }
}
