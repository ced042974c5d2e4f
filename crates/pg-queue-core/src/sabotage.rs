//! Safeguards that are taken out on purpose: only in a build that was made with `--cfg pg_queue_sabotage`, and only the one
//! that a variable names. Whoever checks that the library keeps its promises has to be seen to notice when it does not.

use std::{
    borrow::Cow,
    env, fmt,
    sync::{Arc, LazyLock},
};

/// The variable that names the safeguard.
pub const VARIABLE: &str = "PG_QUEUE_SABOTAGE";

/// What keeps a promise, and can be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safeguard {
    /// Every write about a running job shows its lease token, and changes nothing when that is not the job's any more.
    Fence,
    /// The jobs of dead workers are given to others.
    Rescue,
    /// A worker that is out of contact ends its handlers before others may run their jobs.
    SelfFence,
}

impl Safeguard {
    const ALL: [Self; 3] = [Self::Fence, Self::Rescue, Self::SelfFence];

    const fn name(self) -> &'static str {
        match self {
            Self::Fence => "fence",
            Self::Rescue => "rescue",
            Self::SelfFence => "self-fence",
        }
    }
}

impl fmt::Display for Safeguard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The variable names something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{VARIABLE} names no safeguard: {0:?} is none of \"fence\", \"rescue\" and \"self-fence\"")]
pub struct NoSafeguard(Arc<str>);

/// The safeguard that is out, if any.
///
/// # Errors
/// The variable names none.
pub fn chosen() -> Result<Option<Safeguard>, NoSafeguard> {
    static CHOSEN: LazyLock<Result<Option<Safeguard>, NoSafeguard>> = LazyLock::new(|| {
        let Some(name) = env::var_os(VARIABLE) else { return Ok(None) };
        let name = name.to_string_lossy();
        let found = Safeguard::ALL.into_iter().find(|safeguard| safeguard.name() == name);
        found.map(Some).ok_or_else(|| NoSafeguard(name.into()))
    });
    CHOSEN.clone()
}

/// Whether this one is out.
///
/// # Panics
/// The variable names none: who has misspelt it must not believe that the promise holds without the safeguard.
#[must_use]
pub fn is_out(safeguard: Safeguard) -> bool {
    chosen().unwrap_or_else(|error| panic!("{error}")) == Some(safeguard)
}

/// Statements that write about a running job: each compares the lease token.
const FENCED: [&str; 7] = [
    include_str!("jobs/complete.sql"),
    include_str!("jobs/complete_kept.sql"),
    include_str!("jobs/complete_one.sql"),
    include_str!("jobs/complete_one_kept.sql"),
    include_str!("jobs/end.sql"),
    include_str!("jobs/extend.sql"),
    include_str!("jobs/progress.sql"),
];

/// Statements that compare it and write nothing.
const READING: [&str; 2] = [include_str!("jobs/held.sql"), include_str!("jobs/lock.sql")];

const COMPARISON: &str = "lease_token = ";

/// The statement as it is sent: without the comparison of tokens if the fence is out.
///
/// # Panics
/// The fence is out, and the comparison was not found where it should be, or was found where nobody has thought of it.
pub(crate) fn edited(template: &str) -> Cow<'_, str> {
    if !is_out(Safeguard::Fence) || READING.contains(&template) {
        return Cow::Borrowed(template);
    }
    let head = template.lines().next().unwrap_or_default();
    match (unfenced(template), FENCED.contains(&template)) {
        (Some(unfenced), true) => Cow::Owned(unfenced),
        (None, false) => Cow::Borrowed(template),
        (None, true) => panic!("the fence was not found in the statement that begins with {head:?}"),
        (Some(_), false) => panic!("sabotage.rs does not know the fence in the statement that begins with {head:?}"),
    }
}

/// Every `and x.lease_token = y` becomes `and y is not null`, which holds always and leaves the parameter in its place.
/// `None` if there is nothing like it.
fn unfenced(template: &str) -> Option<String> {
    let unfenced = |line: &str| {
        let (before, after) = line.split_once(COMPARISON)?;
        // The column's table, if it is named.
        let start = before.rfind(' ')? + 1;
        let condition = before[..start].strip_suffix("and ")?;
        let (value, rest) = after.split_at(after.find(' ').unwrap_or(after.len()));
        Some(format!("{condition}and {value} is not null{rest}"))
    };
    let is_found = template.lines().any(|line| unfenced(line).is_some());
    let lines = template.lines().map(|line| unfenced(line).unwrap_or_else(|| line.to_owned()));
    is_found.then(|| lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::{FENCED, READING, unfenced};

    #[test]
    fn every_fence_is_found() {
        for template in FENCED.into_iter().chain(READING) {
            assert!(unfenced(template).is_some(), "{template}");
        }
    }

    #[test]
    fn only_the_comparison_is_taken_out() {
        let template = "where found.id = lease.id and found.lease_token = lease.token\n    lease_token = $2,";
        let without = "where found.id = lease.id and lease.token is not null\n    lease_token = $2,";
        assert_eq!(unfenced(template).as_deref(), Some(without));
        let template = "delete from {queue} where id = $1 and lease_token = $2 returning id";
        let without = "delete from {queue} where id = $1 and $2 is not null returning id";
        assert_eq!(unfenced(template).as_deref(), Some(without));
        assert_eq!(unfenced(include_str!("jobs/claim.sql")), None, "it sets the token");
    }
}
