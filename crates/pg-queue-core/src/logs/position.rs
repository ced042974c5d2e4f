//! Where a message is in its log.

use std::{fmt, str::FromStr};

/// Where a message is in its log: the transaction that published it, and a number. Positions order messages as groups receive
/// them, but for such as were committed late. Displays as `transaction-number`, and is read from that again.
///
/// ```
/// use pg_queue_core::logs::Position;
/// let position: Position = "745-12".parse()?;
/// assert_eq!(position.to_string(), "745-12");
/// # Ok::<(), pg_queue_core::logs::InvalidPosition>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub(crate) transaction: i64,
    pub(crate) number: i64,
}

impl Position {
    /// The number: unique among all messages of a schema, but not in the order of commits.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.number
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.transaction, self.number)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number > 0);
        let read = text.split_once('-').and_then(|(transaction, rest)| Some((number(transaction)?, number(rest)?)));
        read.map(|(transaction, number)| Self { transaction, number }).ok_or(InvalidPosition)
    }
}

/// A text that is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid position: it looks like 745-12")]
pub struct InvalidPosition;

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let position = Position { transaction: 745, number: 12 };
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in ["", "1", "1-", "-1", "a-1", "1-0", "0-1", "1-2-3", "9223372036854775808-1"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
        assert!(Position { transaction: 1, number: 9 } < Position { transaction: 2, number: 1 });
    }
}
