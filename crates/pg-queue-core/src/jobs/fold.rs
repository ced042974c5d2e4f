//! Unique keys within one batch: jobs with the same key become one row, and each gets its own answer.

use std::collections::BTreeMap;

use super::{
    PushOutcome,
    row::{Conflict, Hold, Row},
};
use crate::JobId;

/// The jobs of a batch that have one key, in their order.
#[derive(Debug)]
pub(super) struct Group {
    /// Their places in the batch.
    members: Vec<usize>,
    /// The one whose row is written: the last that may overwrite another, or else the first.
    pub(super) written: usize,
}

/// What the table did with a group's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// Nobody had the key.
    Nobody(JobId),
    /// A waiting job had it, and was overwritten.
    Waiting(JobId),
    /// A job had it, and was left alone.
    LeftAlone(JobId),
}

/// Groups by what holds the key and by the key, in the order of the keys: two batches that meet on several keys take them
/// in the same order, and do not wait for each other in a circle.
pub(super) fn grouped(rows: &[Row<'_>], places: &[usize]) -> Vec<Group> {
    let mut groups: BTreeMap<(bool, &str), Group> = BTreeMap::new();
    for &place in places {
        let Some(key) = &rows[place].key else { continue };
        let remembered = matches!(key.hold, Hold::Time(_));
        let group =
            groups.entry((remembered, &key.text)).or_insert_with(|| Group { members: Vec::new(), written: place });
        if key.on_conflict != Conflict::Keep {
            group.written = place;
        }
        group.members.push(place);
    }
    groups.into_values().collect()
}

impl Group {
    /// What became of each job of the group, by its place.
    ///
    /// As if they had been enqueued one after the other. With nobody there, the first makes the job and the others meet it
    /// waiting; so what counts is the last one that overwrites, and each is told what it would have been told.
    pub(super) fn outcomes(&self, rows: &[Row<'_>], met: Met) -> impl Iterator<Item = (usize, PushOutcome)> {
        self.members.iter().enumerate().map(move |(number, place)| {
            let on_conflict = rows[*place].key.as_ref().map(|key| key.on_conflict);
            let outcome = match (met, on_conflict) {
                (Met::Nobody(id), _) if number == 0 => PushOutcome::Enqueued(id),
                (Met::Nobody(id) | Met::Waiting(id), Some(Conflict::Replace)) => PushOutcome::Replaced(id),
                (Met::Nobody(id) | Met::Waiting(id), Some(Conflict::Debounce(_))) => PushOutcome::Debounced(id),
                (Met::Nobody(id) | Met::Waiting(id) | Met::LeftAlone(id), _) => PushOutcome::Duplicate(id),
            };
            (*place, outcome)
        })
    }
}
