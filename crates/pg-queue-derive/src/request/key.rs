//! The keys of `#[request(..)]`.

use crate::key::Named;

/// A key of `#[request(..)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Response,
    Error,
    Kind,
    Aliases,
    Queue,
    Timeout,
    MaxAttempts,
    Crate,
}

impl Key {
    /// In the order in which messages and documentation list them.
    pub(super) const ALL: [Self; 8] = [
        Self::Response,
        Self::Error,
        Self::Kind,
        Self::Aliases,
        Self::Queue,
        Self::Timeout,
        Self::MaxAttempts,
        Self::Crate,
    ];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}

impl Named for Key {
    fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Error => "error",
            Self::Kind => "kind",
            Self::Aliases => "aliases",
            Self::Queue => "queue",
            Self::Timeout => "timeout",
            Self::MaxAttempts => "max_attempts",
            Self::Crate => "crate",
        }
    }

    fn takes(self) -> &'static str {
        match self {
            Self::Response => "takes a type, such as `response = User`",
            Self::Error => "takes a type, such as `error = UserError`",
            Self::Kind => "takes a string, such as `kind = \"get_user\"`",
            Self::Aliases => "takes a list of strings, such as `aliases = [\"old_name\"]`",
            Self::Queue => "takes a string, such as `queue = \"users\"`",
            Self::Timeout => "takes a string, such as `timeout = \"2s\"`",
            Self::MaxAttempts => "takes a whole number from 1 to 32767, such as `max_attempts = 3`",
            Self::Crate => "takes a string with a path, such as `crate = \"my_crate::pg_queue\"`",
        }
    }
}
