//! The keys of `#[job(..)]`.

/// A key of an attribute, as messages speak of it.
pub(crate) trait Named: Copy {
    fn name(self) -> &'static str;

    /// What the key takes, with an example.
    fn takes(self) -> &'static str;
}

impl Named for Key {
    fn name(self) -> &'static str {
        self.name()
    }

    fn takes(self) -> &'static str {
        self.takes()
    }
}

/// A key of `#[job(..)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Kind,
    Aliases,
    Queue,
    Priority,
    MaxAttempts,
    Timeout,
    Backoff,
    Keep,
    Unique,
    UniqueScope,
    UniqueUntil,
    UniqueWithin,
    OnConflict,
    Cron,
    Timezone,
    Missed,
    Crate,
}

impl Key {
    /// In the order in which messages and documentation list them.
    pub(crate) const ALL: [Self; 17] = [
        Self::Kind,
        Self::Aliases,
        Self::Queue,
        Self::Priority,
        Self::MaxAttempts,
        Self::Timeout,
        Self::Backoff,
        Self::Keep,
        Self::Unique,
        Self::UniqueScope,
        Self::UniqueUntil,
        Self::UniqueWithin,
        Self::OnConflict,
        Self::Cron,
        Self::Timezone,
        Self::Missed,
        Self::Crate,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Aliases => "aliases",
            Self::Queue => "queue",
            Self::Priority => "priority",
            Self::MaxAttempts => "max_attempts",
            Self::Timeout => "timeout",
            Self::Backoff => "backoff",
            Self::Keep => "keep",
            Self::Unique => "unique",
            Self::UniqueScope => "unique_scope",
            Self::UniqueUntil => "unique_until",
            Self::UniqueWithin => "unique_within",
            Self::OnConflict => "on_conflict",
            Self::Cron => "cron",
            Self::Timezone => "timezone",
            Self::Missed => "missed",
            Self::Crate => "crate",
        }
    }

    /// What the key takes, with an example: the end of every message about a missing or mistyped value.
    pub(crate) const fn takes(self) -> &'static str {
        match self {
            Self::Kind => "takes a string, such as `kind = \"send_email\"`",
            Self::Aliases => "takes a list of strings, such as `aliases = [\"old_name\"]`",
            Self::Queue => "takes a string, such as `queue = \"emails\"`",
            Self::Priority => "takes a whole number from 0 to 9, such as `priority = 3`",
            Self::MaxAttempts => "takes a whole number from 1 to 32767, such as `max_attempts = 5`",
            Self::Timeout => "takes a string, such as `timeout = \"30s\"` or `timeout = \"none\"`",
            Self::Backoff => {
                "takes a string or the path of a function, such as `backoff = \"exponential(1s, max = 10m)\"` or \
                 `backoff = my_backoff`"
            }
            Self::Keep => "takes a string, such as `keep = \"7d\"`",
            Self::Unique => "takes \"payload\" or a list of fields, such as `unique = [\"user_id\", \"day\"]`",
            Self::UniqueScope => "takes \"kind\" or \"queue\", such as `unique_scope = \"queue\"`",
            Self::UniqueUntil => {
                "takes \"finished\" or \"started\", such as `unique_until = \"started\"`; a time is given as \
                 `unique_within = \"1h\"`"
            }
            Self::UniqueWithin => "takes a string, such as `unique_within = \"1h\"`",
            Self::OnConflict => {
                "takes \"keep\", \"replace\" or a debounce, such as `on_conflict = \"debounce(30s, max = 5m)\"`"
            }
            Self::Cron => "takes a string, such as `cron = \"0 9 * * mon-fri\"` or `cron = \"@daily\"`",
            Self::Timezone => "takes a string, such as `timezone = \"Europe/Vienna\"`",
            Self::Missed => "takes \"skip\", \"once\", \"all\" or how many at most, such as `missed = \"all(50)\"`",
            Self::Crate => "takes a string with a path, such as `crate = \"my_crate::pg_queue\"`",
        }
    }

    /// The message about a string that is none of those that the key takes.
    pub(crate) fn refuses(self, text: &str) -> String {
        format!("`{}` cannot be \"{}\": it {}", self.name(), text.escape_debug(), self.takes())
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}

/// The message about a key that does not exist.
pub(crate) fn unknown(name: &str) -> String {
    unknown_of(name, &Key::ALL)
}

/// The same where there are other keys.
pub(crate) fn unknown_of<K: Named>(name: &str, all: &[K]) -> String {
    let names: Vec<_> = all.iter().map(|key| key.name()).collect();
    let (last, first) = names.split_last().expect("every attribute has keys");
    let keys = format!("the keys are {} and {last}", first.join(", "));
    match nearest_of(name, all) {
        Some(key) => format!("unknown key `{name}`, did you mean `{}`? {keys}", key.name()),
        None => format!("unknown key `{name}`, {keys}"),
    }
}

/// The key that was probably meant: at most a third of its letters differ, or one is a part of the other
/// (`attempts`, `prio`).
fn nearest_of<K: Named>(name: &str, all: &[K]) -> Option<K> {
    let name = name.to_lowercase();
    let by_letters = all
        .iter()
        .map(|key| (distance(&name, key.name()), *key))
        .filter(|(distance, key)| *distance * 3 <= key.name().len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, key)| key);
    // Shorter parts are in some key by accident.
    let by_part =
        || all.iter().copied().find(|key| name.len() >= 3 && (key.name().contains(&name) || name.contains(key.name())));
    by_letters.or_else(by_part)
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::{Key, distance, nearest_of, unknown};

    fn nearest(name: &str) -> Option<Key> {
        nearest_of(name, &Key::ALL)
    }

    #[test]
    fn every_key_is_found_by_its_name() {
        for key in Key::ALL {
            assert_eq!(Key::from_name(key.name()), Some(key));
        }
        assert_eq!(Key::from_name("Kind"), None);
    }

    #[test]
    fn a_slip_finds_the_key_that_was_meant() {
        for (name, key) in [
            ("timeuot", Key::Timeout),
            ("time_out", Key::Timeout),
            ("queu", Key::Queue),
            ("Kind", Key::Kind),
            ("alias", Key::Aliases),
            ("prio", Key::Priority),
            ("attempts", Key::MaxAttempts),
            ("max_attempt", Key::MaxAttempts),
            ("queue_name", Key::Queue),
            ("unique_by", Key::Unique),
            ("scope", Key::UniqueScope),
            ("on_conflicts", Key::OnConflict),
            ("time_zone", Key::Timezone),
        ] {
            assert_eq!(nearest(name), Some(key), "{name}");
        }
    }

    #[test]
    fn another_word_finds_none() {
        for name in ["retries", "color", "x", "io", ""] {
            assert_eq!(nearest(name), None, "{name}");
        }
        assert_eq!(
            unknown("color"),
            "unknown key `color`, the keys are kind, aliases, queue, priority, max_attempts, timeout, backoff, \
             keep, unique, unique_scope, unique_until, unique_within, on_conflict, cron, \
             timezone, missed and crate"
        );
    }

    #[test]
    fn neighbours_that_changed_places_count_once() {
        assert_eq!(distance("timeuot", "timeout"), 1);
        assert_eq!(distance("", "kind"), 4);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
