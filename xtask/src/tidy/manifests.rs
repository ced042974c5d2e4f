//! What the manifests of all our crates have in common, and that every example is run.

use super::{Violation, tree::Tree};

/// What a crate takes from the workspace: section, key, and where the section says it all, the value.
const INHERITED: [(&str, &str); 3] = [
    ("package", "edition.workspace = true"),
    ("package", "rust-version.workspace = true"),
    ("lints", "workspace = true"),
];

/// The script that runs every example.
const CI: &str = ".ci/run";

/// A line of a manifest that makes one crate use another one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) line: usize,
}

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, manifest) in tree.files("", "Cargo.toml") {
        // The root is the workspace itself, and benchmarks/ is another one.
        if ["crates/", "examples/", "xtask/"].iter().any(|it| path.starts_with(it)) {
            violations.extend(inherits(path, manifest));
        }
    }
    let ci = tree.text(CI).unwrap_or_default();
    let commands: Vec<&str> = ci.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    for example in tree.folders("examples/") {
        let names_it =
            |line: &&str| line.split_whitespace().any(|word| word.trim_matches(['"', '\'', ';', '(', ')']) == example);
        if !commands.iter().any(names_it) {
            let path = format!("examples/{example}/Cargo.toml");
            violations.push(Violation::new(path, 1, format!("{CI} does not run this example")));
        }
    }
    violations
}

fn inherits(path: &str, manifest: &str) -> Vec<Violation> {
    let has = |section: &str, wanted: &str| {
        let wanted = wanted.replace(' ', "");
        lines(manifest).any(|(_, its_section, line)| its_section == section && line.replace(' ', "") == wanted)
    };
    INHERITED
        .iter()
        .filter(|(section, wanted)| !has(section, wanted))
        .map(|(section, wanted)| Violation::new(path, 1, format!("lacks `{wanted}` in [{section}]")))
        .collect()
}

/// What a crate needs to be built, and not only to be tested.
///
/// Cargo has read the manifest before we do, so this need not be a whole parser.
pub(super) fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut add = |name: &str, line| {
        found.push(Dependency { name: name.trim_matches(['"', '\'']).to_owned(), line });
    };
    for (number, section, line) in lines(manifest) {
        let parts: Vec<&str> = section.split('.').collect();
        let is_list = |part: &&str| matches!(*part, "dependencies" | "build-dependencies");
        match parts.iter().rposition(is_list) {
            // [dependencies] or [target.x.dependencies]
            Some(at) if at + 1 == parts.len() => {
                if let Some((key, value)) = line.split_once('=') {
                    let name = key.split('.').next().unwrap_or_default().trim();
                    add(renamed(value).unwrap_or(name), number);
                }
            }
            // [dependencies.name]
            Some(at) if line.starts_with('[') => add(parts[at + 1], number),
            _ => {}
        }
    }
    found
}

/// The real name in `name = { package = "real" }`.
fn renamed(value: &str) -> Option<&str> {
    let (_, after) = value.split_once("package")?;
    after.trim_start().strip_prefix('=')?.split('"').nth(1)
}

/// Lines with their numbers and sections; a section's own line belongs to it.
fn lines(manifest: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let mut section = "";
    manifest.lines().enumerate().map(move |(number, line)| {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        (number + 1, section, line)
    })
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Tree, check, dependencies};

    const WHOLE: &str =
        "[package]\nedition.workspace = true\nrust-version.workspace = true\n[lints]\nworkspace = true\n";

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|it| it.message).collect()
    }

    #[test]
    fn crates_inherit_lints_edition_and_rust_version() {
        assert!(messages(&[("crates/a/Cargo.toml", WHOLE)]).is_empty());
        let own = WHOLE.replace("edition.workspace = true", "edition = \"2021\"");
        assert_eq!(messages(&[("xtask/Cargo.toml", &own)]), ["lacks `edition.workspace = true` in [package]"]);
        let elsewhere = WHOLE.replace("[lints]", "[badges]");
        assert_eq!(messages(&[("crates/a/Cargo.toml", &elsewhere)]).len(), 1);
        assert!(messages(&[("benchmarks/Cargo.toml", "")]).is_empty());
    }

    #[test]
    fn examples_are_run() {
        let example = ("examples/cache/Cargo.toml", WHOLE);
        assert!(messages(&[example, (".ci/run", "for name in pubsub cache; do")]).is_empty());
        assert_eq!(messages(&[example, (".ci/run", "# cache\nrun pubsub cache-warmer")]).len(), 1);
        assert_eq!(messages(&[example]).len(), 1);
    }

    #[test]
    fn dependencies_are_found_in_every_notation() {
        let manifest = "[dependencies]\na.workspace = true\nb = \"1\"\nc = { package = \"d\", version = \"1\" }\n\
            [dependencies.e]\nversion = \"1\"\n[target.'cfg(unix)'.build-dependencies]\nf = \"1\"\n\
            [dev-dependencies]\ng = \"1\"\n[features]\nh = []\n";
        let found = dependencies(manifest);
        let found: Vec<_> = found.iter().map(|it| (it.name.as_str(), it.line)).collect();
        assert_eq!(found, [("a", 2), ("b", 3), ("d", 4), ("e", 5), ("f", 8)]);
    }
}
