//! The migrations as plain SQL, for people who apply them with another tool.

use std::fmt::Write;

use super::MIGRATIONS;
use crate::{Schema, sql};

/// All migrations as one SQL script for `psql` or another migration tool.
///
/// It is one transaction, for an empty schema, and fills the table of migrations, so that [`run`](super::run) finds
/// nothing left to do.
#[must_use]
pub fn script(schema: &Schema) -> String {
    let fill = |template| sql::in_schema(template, schema).0;
    let mut script = format!(
        "begin;\n\n{};\n\n{}\n",
        fill(include_str!("create_schema.sql")).trim_end(),
        fill(include_str!("table.sql"))
    );
    for migration in MIGRATIONS {
        let record = fill(include_str!("record.sql"))
            .replace("$1", &migration.version.to_string())
            .replace("$2", &format!("'{}'", migration.name))
            .replace("$3", &format!("'{}'", migration.checksum()))
            .replace("$4", &migration.is_breaking().to_string());
        // The statement's header speaks of parameters, which the script has no more.
        let record = record.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
        writeln!(script, "-- {:04}_{}\n\n{}\n{record};\n", migration.version, migration.name, fill(migration.template))
            .expect("writing to a string cannot fail");
    }
    script.push_str("commit;\n");
    script
}
