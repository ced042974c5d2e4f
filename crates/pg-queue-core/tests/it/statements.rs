//! Every statement of the library: loaded by somebody, and accepted by the server.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use pg_queue_core::testing;
use sqlx::{AssertSqlSafe, Connection, Executor, SqlSafeStr};

use crate::support::{database, statement};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// All files below `folder` that end in `ending`.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_statement_is_loaded_by_the_code_beside_it() {
    let source = root().join("src");
    let mut loaded = HashSet::new();
    for file in files(&source, "rs") {
        let text = fs::read_to_string(&file).unwrap();
        for include in text.split("include_str!(\"").skip(1) {
            let (name, _) = include.split_once('"').unwrap();
            loaded.insert(file.parent().unwrap().join(name));
        }
    }
    for file in files(&source, "sql") {
        assert!(loaded.contains(&file), "{} is loaded by nobody", file.display());
    }
}

#[test]
fn every_statement_says_what_it_does_and_what_it_takes() {
    for file in files(&root().join("src"), "sql") {
        let text = fs::read_to_string(&file).unwrap();
        let header: Vec<_> = text.lines().take_while(|line| line.starts_with("--")).collect();
        assert!(header.len() >= 2, "{} has no header", file.display());
        assert!(header.iter().any(|line| line.starts_with("-- parameters: ")), "{}", file.display());
        let body: String = text.lines().skip(header.len()).collect();
        let said = header.join(" ");
        for number in 1..20 {
            let parameter = format!("${number}");
            assert_eq!(body.contains(&parameter), said.contains(&parameter), "{parameter} of {}", file.display());
        }
    }
}

#[tokio::test]
async fn every_statement_prepares() {
    let db = database().await;
    let queue = db.queue("emails").await;
    db.log("emails").await;
    let mut connection = db.connect().await;
    // Some are about the clock of tests.
    testing::install_clock(&mut connection, &db.schema).await.unwrap();
    let source = root().join("src");
    let mut prepared = 0;
    for file in files(&source, "sql") {
        let name = file.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
        let sql = statement(&name, &queue);
        let sql_only = sql.replace("'{0,1,2,3,4,5,6,7,8,9}'", "");
        assert!(!sql_only.contains('{'), "{name}: {sql}");
        let mut transaction = connection.begin().await.unwrap();
        let accepted = (&mut *transaction).prepare(AssertSqlSafe(sql).into_sql_str()).await;
        assert!(accepted.is_ok(), "{name}: {}", accepted.err().unwrap());
        transaction.rollback().await.unwrap();
        prepared += 1;
    }
    assert!(prepared > 40, "only {prepared} statements were found");
}
