//! Names of topics, and patterns that match them.

use std::{fmt, str::FromStr, sync::Arc};

use crate::schema::shorten;

/// The longest name of a topic, in bytes.
const MAX_BYTES: usize = 255;

/// The name of a topic: words of `a-z`, `A-Z`, `0-9`, `_` and `-` with dots between them, at most 255 bytes.
///
/// ```
/// use pg_queue_core::topics::Topic;
/// assert!(Topic::new("orders.eu.created").is_ok());
/// assert!(Topic::new("orders..created").is_err());
/// assert!(Topic::new("orders.*").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Checks the name.
    ///
    /// # Errors
    /// The name breaks the rule given at the type.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidTopic> {
        let name = name.as_ref();
        check_length(name)?;
        for word in name.split('.') {
            if matches!(word, "*" | ">") {
                return Err(InvalidTopic::Wildcard(shorten(name)));
            }
            check_word(word, name)?;
        }
        Ok(Self(name.into()))
    }

    /// The name as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Topic {
    type Err = InvalidTopic;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

/// Which topics a subscriber wants: a topic, in which `*` stands for any one word, and `>` at the end for one or more.
///
/// ```
/// use pg_queue_core::topics::TopicPattern;
/// let orders = TopicPattern::new("orders.*.created")?;
/// assert!(orders.matches("orders.eu.created"));
/// assert!(!orders.matches("orders.eu.north.created"));
/// assert!(TopicPattern::new("orders.>")?.matches("orders.eu.north.created"));
/// # Ok::<(), pg_queue_core::topics::InvalidTopic>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPattern(Arc<str>);

impl TopicPattern {
    /// Checks the pattern.
    ///
    /// # Errors
    /// The pattern breaks the rule given at the type.
    pub fn new(pattern: impl AsRef<str>) -> Result<Self, InvalidTopic> {
        let pattern = pattern.as_ref();
        check_length(pattern)?;
        let mut words = pattern.split('.').peekable();
        while let Some(word) = words.next() {
            match word {
                "*" => {}
                ">" if words.peek().is_none() => {}
                ">" => return Err(InvalidTopic::MisplacedRest(shorten(pattern))),
                word => check_word(word, pattern)?,
            }
        }
        Ok(Self(pattern.into()))
    }

    /// The pattern as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this topic is one of those that it stands for.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        let mut words = topic.split('.');
        for wanted in self.0.split('.') {
            match (wanted, words.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(word)) if wanted == word => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }

    /// The one topic that it stands for, if it is only one.
    #[must_use]
    pub fn topic(&self) -> Option<Topic> {
        (!self.0.split('.').any(|word| matches!(word, "*" | ">"))).then(|| Topic(Arc::clone(&self.0)))
    }
}

impl AsRef<str> for TopicPattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TopicPattern {
    type Err = InvalidTopic;

    fn from_str(pattern: &str) -> Result<Self, Self::Err> {
        Self::new(pattern)
    }
}

impl From<Topic> for TopicPattern {
    fn from(topic: Topic) -> Self {
        Self(topic.0)
    }
}

fn check_length(name: &str) -> Result<(), InvalidTopic> {
    match name.len() {
        0 => Err(InvalidTopic::Empty),
        1..=MAX_BYTES => Ok(()),
        bytes => Err(InvalidTopic::TooLong { bytes }),
    }
}

fn check_word(word: &str, name: &str) -> Result<(), InvalidTopic> {
    if word.is_empty() {
        return Err(InvalidTopic::EmptyWord(shorten(name)));
    }
    match word.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
        Some(character) => Err(InvalidTopic::BadCharacter { name: shorten(name), character }),
        None => Ok(()),
    }
}

/// A topic, or a pattern of topics, that breaks the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTopic {
    /// It has no words.
    #[error("invalid topic: it is empty")]
    Empty,
    /// It is too long.
    #[error("invalid topic: it has {bytes} bytes, and {MAX_BYTES} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Two dots follow each other, or one is at an end.
    #[error("invalid topic {0:?}: it has an empty word")]
    EmptyWord(String),
    /// A word has a character that none may have.
    #[error(
        "invalid topic {name:?}: {character:?} is not allowed, only a-z, A-Z, 0-9, _ and - are, with dots between words"
    )]
    BadCharacter {
        /// The name, shortened.
        name: String,
        /// The first such character.
        character: char,
    },
    /// A message is sent to one topic.
    #[error("invalid topic {0:?}: * and > stand for words where messages are received, not where they are sent")]
    Wildcard(String),
    /// The rest is at the end.
    #[error("invalid topic {0:?}: > stands for all words that follow, and is the last one")]
    MisplacedRest(String),
}

#[cfg(test)]
mod tests {
    use super::{InvalidTopic, Topic, TopicPattern};

    #[test]
    fn topics_have_words_of_plain_characters() {
        for good in ["a", "orders", "Orders.EU-1.created_at", &"x".repeat(255)] {
            assert_eq!(Topic::new(good).unwrap().as_str(), good);
        }
        let error = |name: &str| Topic::new(name).unwrap_err();
        assert_eq!(error(""), InvalidTopic::Empty);
        assert_eq!(error(&"x".repeat(256)), InvalidTopic::TooLong { bytes: 256 });
        for empty in [".", "a.", ".a", "a..b"] {
            assert!(matches!(error(empty), InvalidTopic::EmptyWord(_)), "{empty}");
        }
        for (bad, character) in [("a b", ' '), ("a.b\0", '\0'), ("größe", 'ö'), ("a.b*", '*'), ("a/b", '/')] {
            assert!(matches!(error(bad), InvalidTopic::BadCharacter { character: c, .. } if c == character), "{bad}");
        }
        for wildcard in ["*", ">", "a.*.b", "a.>"] {
            assert!(matches!(error(wildcard), InvalidTopic::Wildcard(_)), "{wildcard}");
        }
    }

    #[test]
    fn patterns_match_words_and_not_characters() {
        let all = ["a", "a.b", "a.b.c", "a.c", "b.a", "ab"];
        for (pattern, matching) in [
            ("a", &["a"][..]),
            ("a.*", &["a.b", "a.c"]),
            ("a.>", &["a.b", "a.b.c", "a.c"]),
            ("*", &["a", "ab"]),
            (">", &all),
            ("*.b.>", &["a.b.c"]),
            ("*.*", &["a.b", "a.c", "b.a"]),
            ("a.b.c.>", &[]),
        ] {
            let pattern = TopicPattern::new(pattern).unwrap();
            let found: Vec<&str> = all.into_iter().filter(|topic| pattern.matches(topic)).collect();
            assert_eq!(found, matching, "{pattern}");
        }
        assert!(matches!(TopicPattern::new("a.>.b"), Err(InvalidTopic::MisplacedRest(_))));
        assert!(matches!(TopicPattern::new("a.**"), Err(InvalidTopic::BadCharacter { .. })));
        assert!(TopicPattern::new("a.b").unwrap().topic().is_some());
        assert!(TopicPattern::new("a.*").unwrap().topic().is_none());
    }
}
