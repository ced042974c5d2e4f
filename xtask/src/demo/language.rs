//! The language of a file, by its name.

use std::path::Path;

const BY_EXTENSION: [(&str, &[&str]); 32] = [
    ("Rust", &["rs"]),
    ("C", &["c", "h"]),
    ("C++", &["cc", "cpp", "cxx", "hh", "hpp", "hxx"]),
    ("assembly", &["s", "asm"]),
    ("Go", &["go"]),
    ("Python", &["py", "pyi"]),
    ("Ruby", &["rb"]),
    ("Perl", &["pl", "pm"]),
    ("Java", &["java"]),
    ("Kotlin", &["kt", "kts"]),
    ("Scala", &["scala"]),
    ("C#", &["cs"]),
    ("Swift", &["swift"]),
    ("PHP", &["php"]),
    ("Lua", &["lua"]),
    ("Elixir", &["ex", "exs"]),
    ("Haskell", &["hs"]),
    ("OCaml", &["ml", "mli"]),
    ("Zig", &["zig"]),
    ("JavaScript", &["js", "mjs", "cjs", "jsx"]),
    ("TypeScript", &["ts", "tsx"]),
    ("HTML", &["html", "htm"]),
    ("CSS", &["css", "scss"]),
    ("SQL", &["sql"]),
    ("shell", &["sh", "bash", "zsh"]),
    ("TOML", &["toml", "lock"]),
    ("JSON", &["json"]),
    ("YAML", &["yml", "yaml"]),
    ("XML", &["xml", "svg"]),
    ("Markdown", &["md"]),
    ("text", &["txt", "rst", "adoc", "stderr", "stdout"]),
    ("make", &["mk", "cmake"]),
];

/// The language; `other` when the name does not tell.
pub(super) fn of(path: &Path) -> &'static str {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let by_extension = BY_EXTENSION.iter().find(|(_, extensions)| extensions.contains(&extension.as_str()));
    by_extension.map(|(language, _)| *language).unwrap_or_else(|| by_name(path))
}

fn by_name(path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    match name.as_str() {
        "makefile" | "gnumakefile" => "make",
        "dockerfile" => "docker",
        _ if ["license", "licence", "copying", "readme", "authors"].iter().any(|it| name.starts_with(it)) => "text",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::of;

    #[test]
    fn the_name_tells_the_language() {
        for (name, language) in [
            ("src/main.rs", "Rust"),
            ("SETUP.PY", "Python"),
            ("a/Makefile", "make"),
            ("LICENSE-MIT", "text"),
            ("a.rs.orig", "other"),
            (".gitignore", "other"),
            ("", "other"),
        ] {
            assert_eq!(of(Path::new(name)), language, "{name}");
        }
    }
}
