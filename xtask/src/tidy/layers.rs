//! Which crate, and which module of core, may use which.

use super::{
    LAYERS, Violation, manifests,
    tokens::{Token, find},
    tree::Tree,
};

/// Modules of core that stand side by side: a user of one does not pay for the others.
const SIBLINGS: [&str; 3] = ["jobs", "topics", "cache"];

/// Used by demos, examples and tests only, and by no library.
const EMBEDDED: &str = "pg-queue-embedded";

const CORE: &str = "crates/pg-queue-core";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for name in tree.folders("crates/") {
        let path = format!("crates/{name}/Cargo.toml");
        let Some(manifest) = tree.text(&path) else { continue };
        let layer = LAYERS.iter().position(|layer| *layer == name);
        if layer.is_none() && name != EMBEDDED {
            let message = format!("{name} has no place among the layers: give it one in xtask/src/tidy/mod.rs");
            violations.push(Violation::new(&path, 1, message));
        }
        for dependency in manifests::dependencies(manifest) {
            let used = dependency.name.as_str();
            if !used.starts_with("pg-queue") {
                continue;
            }
            let is_below = layer.is_some_and(|layer| LAYERS[..layer].contains(&used));
            if !is_below {
                let message =
                    format!("{name} may not depend on {used}: layers import one way, {}", LAYERS.join(" <- "));
                violations.push(Violation::new(&path, dependency.line, message));
            }
        }
    }
    violations.extend(core_without_tokio(tree));
    violations.extend(siblings_apart(tree));
    violations
}

/// Core spawns nothing and sleeps nowhere, and without tokio it cannot.
fn core_without_tokio(tree: &Tree) -> Vec<Violation> {
    let path = format!("{CORE}/Cargo.toml");
    let dependencies = manifests::dependencies(tree.text(&path).unwrap_or_default());
    let tokio = dependencies.iter().filter(|it| it.name.starts_with("tokio"));
    let message = "core spawns nothing and sleeps nowhere: what needs tokio belongs into the client or the worker";
    tokio.map(|it| Violation::new(&path, it.line, message)).collect()
}

fn siblings_apart(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for module in SIBLINGS {
        for file in [format!("{CORE}/src/{module}.rs"), format!("{CORE}/src/{module}/")] {
            for (path, tokens) in tree.rust(&file) {
                let tokens = tokens.unwrap_or_default();
                for (other, line) in of_this_crate(&tokens) {
                    if other != module && SIBLINGS.contains(&other.as_str()) {
                        let message = format!("`{module}` may not use `crate::{other}`: they stand side by side");
                        violations.push(Violation::new(path, line, message));
                    }
                }
            }
        }
    }
    violations
}

/// The modules in `crate::module` and `crate::{module, other::..}`, with their lines.
fn of_this_crate(tokens: &[Token]) -> Vec<(String, usize)> {
    let mut modules = Vec::new();
    let starts = (0..tokens.len()).filter(|at| {
        let window = tokens.get(*at..at + 3).unwrap_or_default();
        find(window, &["crate", ":", ":"]).next().is_some()
    });
    for start in starts {
        let mut rest = tokens[start + 3..].iter();
        let Some(first) = rest.next() else { continue };
        if first.text != "{" {
            modules.push((first.text.clone(), first.line));
            continue;
        }
        let mut depth = 1;
        let mut is_first = true;
        for token in rest {
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => is_first = true,
                _ if depth == 1 && is_first => {
                    modules.push((token.text.clone(), token.line));
                    is_first = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::{super::tree::Tree, check};

    const NONE: [usize; 0] = [];

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).iter().map(|it| it.line).collect()
    }

    #[test]
    fn crates_use_only_those_below() {
        let path = "crates/pg-queue-client/Cargo.toml";
        let manifest = "[dependencies]\npg-queue-core.workspace = true\npg-queue-worker.workspace = true\n\
            [dev-dependencies]\npg-queue-embedded.workspace = true\n";
        assert_eq!(lines(path, manifest), [3]);
        let renamed = "[target.'cfg(unix)'.dependencies]\nq = { package = \"pg-queue\", path = \"../pg-queue\" }\n";
        assert_eq!(lines(path, renamed), [2]);
        let embedded = "[build-dependencies.pg-queue-embedded]\nworkspace = true\n";
        assert_eq!(lines(path, embedded), [1]);
    }

    #[test]
    fn the_embedded_server_knows_nothing_of_the_library() {
        let manifest = "[dependencies]\npg-queue-core.workspace = true\n";
        assert_eq!(lines("crates/pg-queue-embedded/Cargo.toml", manifest), [2]);
    }

    #[test]
    fn a_new_crate_needs_a_layer() {
        assert_eq!(lines("crates/pg-queue-web/Cargo.toml", "[dependencies]\n"), [1]);
    }

    #[test]
    fn core_has_tokio_in_its_tests_only() {
        let manifest = "[dependencies]\ntokio-util.workspace = true\n[dev-dependencies]\ntokio.workspace = true\n";
        assert_eq!(lines("crates/pg-queue-core/Cargo.toml", manifest), [2]);
    }

    #[test]
    fn jobs_topics_and_cache_do_not_use_each_other() {
        let path = "crates/pg-queue-core/src/topics/mod.rs";
        assert_eq!(lines(path, "use crate::{\n    Schema,\n    jobs::{cache, Claim},\n};"), [3]);
        assert_eq!(lines(path, "fn f() { crate::cache::get() }"), [1]);
        assert_eq!(lines(path, "use crate::{topics::a, ids::{jobs}, sql};"), NONE);
        assert_eq!(lines("crates/pg-queue-core/src/replies.rs", "use crate::jobs;"), NONE);
    }
}
