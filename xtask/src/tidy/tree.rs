//! The project's files, as the rules see them.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

use super::{
    Violation,
    tokens::{self, Token},
};

/// Every file that belongs to the project, by its path from the root with `/` between folders.
///
/// What is not text has no contents. Symbolic links are left out: the files behind them are here already.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads what git would: hidden files too, what `.gitignore` names not.
    pub(super) fn read(root: &Path) -> Result<Tree> {
        let mut files = BTreeMap::new();
        let walk = ignore::WalkBuilder::new(root)
            .hidden(false)
            .require_git(false)
            .git_global(false)
            // Cargo marks a target folder so, wherever CARGO_TARGET_DIR puts it.
            .filter_entry(|entry| entry.file_name() != ".git" && !entry.path().join("CACHEDIR.TAG").exists())
            .build();
        for entry in walk {
            let entry = entry.context("the source tree cannot be read")?;
            let path = entry.path();
            if entry.file_type().is_some_and(|it| it.is_file()) {
                let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
                let name = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
                files.insert(name, String::from_utf8(bytes).unwrap_or_default());
            }
        }
        Ok(Tree { files })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Tree {
        let files = files.iter().map(|(path, text)| ((*path).into(), (*text).into()));
        Tree { files: files.collect() }
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The files below a folder (`""` is the root) whose names end like this.
    pub(super) fn files(&self, folder: &str, ending: &str) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.starts_with(folder) && path.ends_with(ending))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The names of the folders in a folder, which ends with `/` or is the root.
    pub(super) fn folders(&self, parent: &str) -> Vec<&str> {
        let below = self.paths().filter_map(|path| path.strip_prefix(parent));
        let mut names: Vec<&str> = below.filter_map(|path| Some(path.split_once('/')?.0)).collect();
        names.dedup();
        names
    }

    /// The Rust files below a folder as tokens, and a violation for each that is not Rust.
    pub(super) fn rust(&self, folder: &str) -> Vec<(&str, Result<Vec<Token>, Violation>)> {
        let read = |(path, text)| (path, tokens::read(path, text));
        self.files(folder, ".rs").map(read).collect()
    }
}
