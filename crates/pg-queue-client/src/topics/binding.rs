//! Binding queues to topics.

use std::{future::Future, pin::Pin};

use pg_queue_core::{
    Job, Priority, QueueName,
    topics::{self as statements, BindError, DEFAULT_KIND, NewBinding, TopicPattern},
};
use sqlx::PgConnection;

use super::Topics;

/// A future that makes or ends a binding.
pub type BindFuture<'t, T> = Pin<Box<dyn Future<Output = Result<T, BindError>> + Send + 't>>;

/// A binding that is about to be made. Await it; before that, its setters say what becomes of the messages. Made by
/// [`Topics::bind`].
#[must_use = "a binding is made when this is awaited"]
#[derive(Debug)]
pub struct Bind<'t> {
    topics: &'t Topics,
    binding: Result<NewBinding, BindError>,
}

impl<'t> Bind<'t> {
    pub(super) fn new(topics: &'t Topics, pattern: &str, queue: &QueueName) -> Self {
        let pattern = TopicPattern::new(pattern).map_err(BindError::from);
        Self { topics, binding: pattern.map(|pattern| NewBinding::new(pattern, queue.clone())) }
    }

    /// The jobs are of this type, with its priority and its number of attempts, and a worker that has it registered runs them: the
    /// messages have to be what it decodes. What the type says of uniqueness does not apply. Default: the kind `raw`.
    pub fn kind<J: Job>(self) -> Self {
        self.with(NewBinding::kind::<J>)
    }

    /// The jobs are of the type of this name.
    pub fn kind_named(self, kind: impl Into<String>) -> Self {
        self.with(|binding| NewBinding { kind: kind.into(), ..binding })
    }

    /// Lets only those messages through whose attribute `name` is one of `allowed`. With several names all of them must fit;
    /// the same name once more allows more values.
    pub fn filter<V: Into<String>>(self, name: impl Into<String>, allowed: impl IntoIterator<Item = V>) -> Self {
        self.with(|mut binding| {
            binding.filter.entry(name.into()).or_default().extend(allowed.into_iter().map(Into::into));
            binding
        })
    }

    /// The jobs have this priority instead of the type's own.
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|binding| NewBinding { priority, ..binding })
    }

    /// The jobs have this number of attempts instead of the type's own: 1 to 32767.
    pub fn max_attempts(self, attempts: u16) -> Self {
        self.with(|binding| NewBinding { max_attempts: attempts, ..binding })
    }

    fn with(mut self, set: impl FnOnce(NewBinding) -> NewBinding) -> Self {
        self.binding = self.binding.map(set);
        self
    }
}

impl<'t> IntoFuture for Bind<'t> {
    type Output = Result<(), BindError>;
    type IntoFuture = BindFuture<'t, ()>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (binding, shared) = (self.binding?, &self.topics.shared);
            let schema = &shared.schema;
            shared.run(async |connection| statements::bind(connection, schema, &binding).await).await
        })
    }
}

/// A binding that is about to be ended. Await it; before that, say of which kind its jobs are, if not `raw`. Made by
/// [`Topics::unbind`].
#[must_use = "a binding is ended when this is awaited"]
#[derive(Debug)]
pub struct Unbind<'t> {
    topics: &'t Topics,
    pattern: Result<TopicPattern, BindError>,
    queue: QueueName,
    kind: String,
}

impl<'t> Unbind<'t> {
    pub(super) fn new(topics: &'t Topics, pattern: &str, queue: &QueueName) -> Self {
        let pattern = TopicPattern::new(pattern).map_err(BindError::from);
        Self { topics, pattern, queue: queue.clone(), kind: DEFAULT_KIND.to_owned() }
    }

    /// The one whose jobs are of this type.
    pub fn kind<J: Job>(self) -> Self {
        self.kind_named(J::KIND)
    }

    /// The one whose jobs are of the type of this name.
    pub fn kind_named(mut self, kind: impl Into<String>) -> Self {
        self.kind = kind.into();
        self
    }
}

impl<'t> IntoFuture for Unbind<'t> {
    type Output = Result<bool, BindError>;
    type IntoFuture = BindFuture<'t, bool>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (pattern, shared) = (self.pattern?, &self.topics.shared);
            let (schema, queue, kind) = (&shared.schema, &self.queue, &self.kind);
            let unbind = async |connection: &mut PgConnection| {
                statements::unbind(connection, schema, &pattern, queue, kind).await
            };
            Ok(shared.run(unbind).await?)
        })
    }
}
