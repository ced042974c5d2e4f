//! Which due jobs run first.

/// A job's priority: 0 runs before 1, and so on to 9.
///
/// ```
/// use pg_queue_core::Priority;
/// assert!(Priority::new(10).is_err());
/// assert!(Priority::HIGHEST < Priority::DEFAULT);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// 0: before everything else.
    pub const HIGHEST: Self = Self(0);
    /// 5: room on both sides.
    pub const DEFAULT: Self = Self(5);
    /// 9: after everything else.
    pub const LOWEST: Self = Self(9);

    /// Checks that `priority` is 0 to 9.
    ///
    /// # Errors
    /// The number is above 9.
    pub const fn new(priority: u8) -> Result<Self, InvalidPriority> {
        if priority > 9 { Err(InvalidPriority(priority)) } else { Ok(Self(priority)) }
    }

    /// From the table, whose constraint keeps it in range; one that was tampered with shall not stop a claim.
    pub(crate) fn from_column(priority: i16) -> Self {
        u8::try_from(priority).ok().and_then(|priority| Self::new(priority).ok()).unwrap_or(Self::LOWEST)
    }

    /// The number, 0 to 9.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A priority above 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("priority {0} is out of range: priorities are 0 (first) to 9 (last)")]
pub struct InvalidPriority(u8);
