//! How a worker treats one of its queues.

use pg_queue_core::QueueName;

/// How a worker treats one of its queues, for [`WorkerBuilder::queue`](crate::WorkerBuilder::queue).
///
/// ```
/// use pg_queue_core::QueueName;
/// use pg_queue_worker::QueueOptions;
///
/// let emails = QueueOptions::new(&QueueName::new("emails")?).concurrency(5).weight(3);
/// # let _ = emails;
/// # Ok::<(), pg_queue_core::InvalidQueueName>(())
/// ```
#[derive(Debug, Clone)]
pub struct QueueOptions {
    pub(crate) name: QueueName,
    pub(crate) concurrency: Option<usize>,
    pub(crate) weight: u32,
}

impl QueueOptions {
    /// Claims from this queue, as many jobs as there are free slots.
    #[must_use]
    pub fn new(queue: &QueueName) -> Self {
        Self { name: queue.clone(), concurrency: None, weight: 1 }
    }

    /// How many of the queue's jobs the worker runs at once, at most. Default: as many as it runs in all. A number that is
    /// set for the queue at run time takes its place.
    #[must_use]
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.concurrency = Some(jobs);
        self
    }

    /// The queue's share of the worker's slots while several queues have due jobs: a queue of weight 3 gets three for each
    /// one of weight 1. None starves. Default: 1; at most 1,000.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }
}

impl From<&QueueName> for QueueOptions {
    fn from(queue: &QueueName) -> Self {
        Self::new(queue)
    }
}
