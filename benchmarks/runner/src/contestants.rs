//! Who there is to measure.

use crate::broker;

/// Where a program comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A program of this workspace.
    Member,
    /// A workspace of its own in `peers`.
    Crate,
    /// A script in `peers`, with packages from npm.
    Node,
}

/// A program that can be measured.
#[derive(Debug)]
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
    pub(crate) origin: Origin,
    /// How many jobs it is given where a scenario has very many: one that does 400 a second would take minutes for each of
    /// the runs.
    pub(crate) at_most: Option<u64>,
    /// The server that it needs instead of PostgreSQL.
    pub(crate) broker: Option<broker::Kind>,
}

/// What this source tree has to offer.
pub(crate) const OURS: &str = "pg-queue";

const fn peer(name: &'static str) -> Contestant {
    Contestant { name, program: name, origin: Origin::Crate, at_most: None, broker: None }
}

const fn slow(name: &'static str, jobs: u64) -> Contestant {
    Contestant { at_most: Some(jobs), ..peer(name) }
}

const fn node(name: &'static str) -> Contestant {
    Contestant { origin: Origin::Node, ..peer(name) }
}

const fn baseline(name: &'static str) -> Contestant {
    Contestant { origin: Origin::Member, ..peer(name) }
}

const fn on(kind: broker::Kind, name: &'static str) -> Contestant {
    Contestant { broker: Some(kind), ..peer(name) }
}

/// All of them, in the order of `scenarios.txt`.
pub(crate) const CONTESTANTS: &[Contestant] = &[
    Contestant { program: "bench-pg-queue", ..baseline(OURS) },
    baseline("raw"),
    baseline("raw-pool"),
    baseline("bare-loop"),
    baseline("tokio-loop"),
    baseline("raw-notify"),
    peer("graphile_worker"),
    peer("apalis-postgres"),
    slow("pg-queue-0.1", 20_000),
    slow("awa", 30_000),
    slow("sqlxmq", 20_000),
    peer("pgqrs"),
    slow("fang", 4_000),
    slow("underway", 2_000),
    peer("riverqueue"),
    peer("pgmq"),
    node("graphile-worker"),
    node("pg-boss"),
    on(broker::Kind::Redis, "redis"),
    on(broker::Kind::Nats, "nats"),
];

/// The contestant of this name.
pub(crate) fn find(name: &str) -> Option<&'static Contestant> {
    CONTESTANTS.iter().find(|contestant| contestant.name == name)
}
