//! `cargo xtask tidy`: the rules that no compiler knows, all violations at once.
//!
//! A rule is a function from the tree of files to what is wrong in it, so that its tests need no files. What the
//! machine does not hold is not a rule.

mod code;
mod documents;
mod layers;
mod manifests;
mod migrations;
mod packaging;
mod sql;
mod tokens;
mod tree;

use std::{fmt, process::ExitCode};

use anyhow::Result;

use self::tree::Tree;
use crate::workspace;

/// Check what no compiler checks: where SQL lives, which crate uses which, that documents name what exists
///
/// Lists all violations at once. `cargo test` does the same.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pin new migrations, which from then on may not change
    #[arg(long)]
    bless: bool,
}

/// The crates that users depend on, the lowest first: a crate may use those before it and nothing else of ours.
///
/// `pg-queue-embedded` is not among them: it serves demos, examples and tests.
const LAYERS: [&str; 5] = ["pg-queue-derive", "pg-queue-core", "pg-queue-client", "pg-queue-worker", "pg-queue"];

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: String,
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: impl Into<String>, line: usize, message: impl Into<String>) -> Violation {
        Violation { path: path.into(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = workspace::root()?;
    if args.bless {
        migrations::bless(&root)?;
    }
    let tree = Tree::read(&root)?;
    let mut violations = check(&tree);
    violations.extend(packaging::check(&tree, &packaging::listed(&root)?));
    violations.sort();
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => println!("tidy"),
        1 => println!("1 violation"),
        count => println!("{count} violations"),
    }
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(tree: &Tree) -> Vec<Violation> {
    [code::check, documents::check, layers::check, manifests::check, migrations::check, sql::check]
        .iter()
        .flat_map(|rule| rule(tree))
        .collect()
}
