//! The typed request: a payload that knows its kind, its queue and its response.

use std::{error::Error, fmt, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A request that can be called by type and responded to by type.
///
/// Derive it: `#[derive(Serialize, Deserialize, Request)]`. The attribute `#[request(response = ..)]` names the type of the
/// response, and sets what the constants below hold; without it the defaults given here apply.
///
/// ```
/// use pg_queue_core::Request;
/// # use pg_queue_core as pg_queue;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct User {
///     name: String,
/// }
///
/// #[derive(Serialize, Deserialize, Request)]
/// #[request(crate = "pg_queue_core", queue = "users", response = User, timeout = "2s")]
/// struct GetUser {
///     id: i64,
/// }
///
/// assert_eq!(GetUser::KIND, "get_user");
/// assert_eq!(GetUser::QUEUE, "users");
/// ```
pub trait Request: Serialize + DeserializeOwned + Send + 'static {
    /// The name under which requests of this type are sent. Derived: the struct's name in `snake_case`.
    const KIND: &'static str;

    /// Earlier kinds that a responder for this type still answers, while callers of an older version are about.
    const ALIASES: &'static [&'static str] = &[];

    /// The queue that calls go through. Default: `requests`.
    const QUEUE: &'static str = "requests";

    /// How long a call waits for its response, unless it says otherwise. Default: 30 s.
    const TIMEOUT: Duration = DEFAULT_CALL_TIMEOUT;

    /// How many responders may try, one after the other, when one dies or is shut down in the middle. Default: 1, so that what a
    /// request does is done at most once.
    const MAX_ATTEMPTS: u16 = 1;

    /// What the responder answers.
    type Response: Serialize + DeserializeOwned + Send + 'static;

    /// What the responder answers instead when it cannot. Derived: [`Failed`], which any error becomes by `?`.
    type Error: Serialize + DeserializeOwned + Send + 'static;
}

/// As long as a person waits, and the balancers in front of most services.
pub const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The error of a responder that has no type of its own for it: a message. Any error and any string becomes one by `?` or
/// `into()`, with its causes.
///
/// ```
/// let failed: pg_queue_core::Failed = "no such user".into();
/// assert_eq!(failed.message(), "no such user");
/// ```
// Not an `Error` itself: the conversion below would overlap with the one from itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Failed {
    message: String,
}

impl Failed {
    /// What went wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// How many causes of an error are looked at. One that is its own cause, by mistake, has no end of them.
const MOST_CAUSES: usize = 100;

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failed {
    fn from(error: E) -> Self {
        let error: Box<dyn Error + Send + Sync> = error.into();
        let mut message = error.to_string();
        for cause in std::iter::successors(error.source(), |&error| error.source()).take(MOST_CAUSES) {
            let cause = cause.to_string();
            // What its parent's message repeats already is left out.
            if !message.ends_with(&cause) {
                message.push_str(": ");
                message.push_str(&cause);
            }
        }
        Self { message }
    }
}

#[cfg(test)]
mod tests {
    use super::Failed;

    #[derive(Debug, thiserror::Error)]
    #[error("the user was not read")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn an_error_becomes_a_message_with_its_causes() {
        let failed = Failed::from(Outer(std::fmt::Error));
        assert_eq!(failed.message(), format!("the user was not read: {}", std::fmt::Error));
        assert_eq!(serde_json::to_string(&Failed::from("no")).unwrap(), "\"no\"");
    }
}
