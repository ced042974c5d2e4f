//! Tasks that each await one publish after the other, at the pace of those that enqueue.

use anyhow::{Context, Result};

use super::{Messenger, names};
use crate::{
    Params, Payload,
    produce::{self, Produces},
};

/// The scenario.
pub(super) async fn run<M: Messenger>(url: &str, params: &Params) -> Result<()> {
    let topics = names(params)?;
    let messenger = M::open(url, params.get("tasks", 1)?, params).await?;
    produce::drive(Publisher { messenger, topics }, params).await
}

struct Publisher<M> {
    messenger: M,
    topics: Vec<String>,
}

impl<M: Messenger> Produces for Publisher<M> {
    async fn produce(&self, task: usize, message: Payload) -> Result<()> {
        let number = usize::try_from(message.id)? % self.topics.len();
        let topic = self.topics.get(number).context("there is a topic")?;
        self.messenger.publish(task, topic, &message).await
    }
}
