//! Which files there are to index.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use ignore::{DirEntry, WalkBuilder};
use serde::{Deserialize, Serialize};

use super::built_from;
use crate::{numbers::thousands, workspace};

/// The files to index, and where they are from.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) files: Vec<File>,
    source: String,
    /// Folders that could not be looked into.
    unreadable: Vec<String>,
}

/// A file as it is indexed: under which name, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct File {
    /// For people, with `/` between its parts. What is not UTF-8 in it is replaced.
    pub(super) name: String,
    pub(super) path: FilePath,
}

/// A path that survives JSON: most are text, but a Unix allows any bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum FilePath {
    Text(String),
    Bytes(Vec<u8>),
}

impl FilePath {
    fn new(path: &Path) -> FilePath {
        match path.to_str() {
            Some(text) => FilePath::Text(text.to_owned()),
            #[cfg(unix)]
            None => FilePath::Bytes(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec()),
            #[cfg(not(unix))]
            None => FilePath::Text(path.to_string_lossy().into_owned()),
        }
    }

    pub(super) fn to_path(&self) -> PathBuf {
        match self {
            FilePath::Text(text) => PathBuf::from(text),
            #[cfg(unix)]
            FilePath::Bytes(bytes) => {
                PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes))
            }
            #[cfg(not(unix))]
            FilePath::Bytes(bytes) => PathBuf::from(String::from_utf8_lossy(bytes).into_owned()),
        }
    }
}

impl File {
    /// The directory that its statistics belong to: the first two levels tell the parts of a source tree apart.
    pub(super) fn directory(&self) -> String {
        let folders = self.name.rsplit_once('/').map_or(".", |(folders, _)| folders);
        folders.split('/').take(2).collect::<Vec<_>>().join("/")
    }
}

impl Tree {
    /// The files of one folder.
    pub(super) fn of(dir: &Path) -> Result<Tree> {
        let shown = dir.display();
        let root = fs::canonicalize(dir).with_context(|| format!("{shown} cannot be indexed"))?;
        if !root.is_dir() {
            bail!("{shown} is not a folder: give the folder to index, such as the one that it is in");
        }
        fs::read_dir(&root).with_context(|| format!("{shown} cannot be read"))?;
        let mut tree = Tree { files: Vec::new(), source: shown.to_string(), unreadable: Vec::new() };
        tree.walk(&root, "");
        if tree.files.is_empty() {
            bail!("there are no files to index in {shown}");
        }
        Ok(tree)
    }

    /// The files of this repository and of the crates it was built from.
    pub(super) fn of_this_repository() -> Result<Tree> {
        let root = workspace::root().ok();
        let root = root.context("nothing to index: this is not inside pg-queue's repository, so give a DIR")?;
        let crates = built_from::crates(&root);
        let source = match crates.len() {
            0 => "this repository (the crates it was built from were not found)".to_owned(),
            count => format!("this repository and the {count} crates it was built from"),
        };
        let mut tree = Tree { files: Vec::new(), source, unreadable: Vec::new() };
        tree.walk(&root, "");
        for folder in crates {
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned() + "/");
            tree.walk(&folder, &name.unwrap_or_default());
        }
        if tree.files.is_empty() {
            bail!("there are no files to index in {}: give a DIR", root.display());
        }
        Ok(tree)
    }

    pub(super) fn description(&self) -> String {
        let mut text = format!("indexing {}: {} files", self.source, thousands(self.files.len() as u64));
        if let Some(first) = self.unreadable.first() {
            let count = self.unreadable.len();
            text += &format!("\nnot looked into, because they cannot be read: {count} folders, the first: {first}");
        }
        text
    }

    fn walk(&mut self, root: &Path, prefix: &str) {
        // The rules of this tree alone count: neither those of a folder above it nor those of its user.
        let mut walk = WalkBuilder::new(root);
        walk.hidden(false).parents(false).git_global(false).git_exclude(false).require_git(false);
        walk.filter_entry(is_source).sort_by_file_name(Ord::cmp);
        for entry in walk.build() {
            match entry {
                // Neither folders nor what would block its reader, such as a pipe; a link's target is elsewhere.
                Ok(entry) if entry.file_type().is_some_and(|it| it.is_file()) => {
                    let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
                    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
                    let name = format!("{prefix}{}", parts.join("/"));
                    self.files.push(File { name, path: FilePath::new(entry.path()) });
                }
                Ok(_) => {}
                Err(error) => self.unreadable.push(error.to_string()),
            }
        }
    }
}

/// Not the insides of git, and no folder that says of itself that it is a cache, as cargo's target does.
fn is_source(entry: &DirEntry) -> bool {
    entry.depth() == 0 || (entry.file_name() != ".git" && !entry.path().join("CACHEDIR.TAG").exists())
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path, process};

    use super::{File, FilePath, Tree};

    fn named(name: &str) -> File {
        File { name: name.to_owned(), path: FilePath::Text(String::new()) }
    }

    #[test]
    fn statistics_belong_to_the_first_two_levels() {
        assert_eq!(named("README.md").directory(), ".");
        assert_eq!(named("xtask/Cargo.toml").directory(), "xtask");
        assert_eq!(named("crates/pg-queue/src/lib.rs").directory(), "crates/pg-queue");
    }

    #[cfg(unix)]
    #[test]
    fn any_path_survives_json() -> anyhow::Result<()> {
        for bytes in ["/tmp/a b.rs".as_bytes(), b"/tmp/\xff\xfe.rs"] {
            let path = Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes));
            let json = serde_json::to_string(&FilePath::new(path))?;
            assert_eq!(serde_json::from_str::<FilePath>(&json)?.to_path(), path);
        }
        Ok(())
    }

    #[test]
    fn what_is_ignored_or_a_cache_is_not_indexed() -> anyhow::Result<()> {
        let root = env::temp_dir().join(format!("pgq-demo-tree-{}", process::id()));
        for (name, text) in [
            ("src/main.rs", ""),
            (".gitignore", "*.log"),
            ("a.log", ""),
            (".git/config", ""),
            ("out/CACHEDIR.TAG", ""),
            ("out/a.o", ""),
        ] {
            fs::create_dir_all(root.join(name).parent().expect("it has a folder"))?;
            fs::write(root.join(name), text)?;
        }
        let tree = Tree::of(&root);
        fs::remove_dir_all(&root)?;
        let names: Vec<String> = tree?.files.into_iter().map(|file| file.name).collect();
        assert_eq!(names, [".gitignore", "src/main.rs"]);
        Ok(())
    }

    #[test]
    fn what_is_no_folder_with_files_is_refused_by_name() -> anyhow::Result<()> {
        let root = env::temp_dir().join(format!("pgq-demo-none-{}", process::id()));
        let refusal = |path: &Path| format!("{:#}", Tree::of(path).expect_err("there is nothing to index"));
        assert!(refusal(&root).contains("cannot be indexed"), "{}", refusal(&root));
        fs::create_dir(&root)?;
        let empty = refusal(&root);
        fs::write(root.join("file"), "")?;
        let file = refusal(&root.join("file"));
        fs::remove_dir_all(&root)?;
        assert!(empty.contains("no files to index"), "{empty}");
        assert!(file.contains("is not a folder"), "{file}");
        Ok(())
    }
}
