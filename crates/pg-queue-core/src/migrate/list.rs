//! The migrations that this version of the library brings.

use sha2::{Digest, Sha256};

/// One step of the schema. Once shipped it never changes.
#[derive(Debug)]
pub struct Migration {
    /// Its place in the order, from 1.
    pub version: i32,
    /// What its file is called, without the number.
    pub name: &'static str,
    pub(super) template: &'static str,
}

/// A migration that older libraries cannot live with says so in its first line. A rolling deployment has old workers
/// beside the new schema, so the mark is for what cannot be made in two compatible steps.
const BREAKING: &str = "-- breaking:";

impl Migration {
    /// Whether libraries that do not know this migration must refuse to work with it.
    #[must_use]
    pub fn is_breaking(&self) -> bool {
        self.template.starts_with(BREAKING)
    }

    /// SHA-256 of the file, in hexadecimal.
    #[must_use]
    pub fn checksum(&self) -> String {
        Sha256::digest(self.template.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

macro_rules! migrations {
    ($($version:literal $number:literal $name:literal),+ $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            template: include_str!(concat!("../../migrations/", $number, "_", $name, ".sql")),
        }),+]
    };
}

/// All of them, in order.
pub const MIGRATIONS: &[Migration] = migrations![
    1 "0001" "workers",
    2 "0002" "jobs",
    3 "0003" "history",
    4 "0004" "queues",
    5 "0005" "push",
    6 "0006" "cache",
    7 "0007" "replies",
    8 "0008" "unique_keys",
    9 "0009" "schedules",
    10 "0010" "topics",
    11 "0011" "logs",
    12 "0012" "groups",
    13 "0013" "bindings",
    14 "0014" "requests",
];
