//! How outcomes and errors reach the user: the latter with their causes, and without passwords.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, Result};

/// Prints what came of a long work: to stdout or, with the same as an object of JSON, to stderr, so that stdout has
/// nothing but the object. Then what is wrong with it.
pub(crate) fn outcome(text: &str, json: Option<&str>, failures: &[String]) -> Result<()> {
    let printed = match json {
        Some(object) => {
            eprintln!("{text}");
            writeln!(io::stdout(), "{object}")
        }
        None => writeln!(io::stdout(), "{text}"),
    };
    match printed {
        // `| head` has seen enough; what counts is the exit status.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed.context("the outcome could not be written")?,
    }
    for failure in failures {
        eprintln!("error: {failure}");
    }
    Ok(())
}

/// Prints why a command failed.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", without_passwords(&with_causes(error)));
    ExitCode::FAILURE
}

/// Prints what clap says: the help that was asked for, or what is wrong with the arguments.
///
/// It quotes wrong arguments, and a URL without its `--database-url` is one.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // The help; a closed pipe (`| head`) is no failure.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let clean = without_passwords(&text);
    if clean == text {
        let _ = error.print();
    } else {
        eprint!("{clean}");
    }
    ExitCode::from(2)
}

/// Many errors repeat their cause in their own words: such a cause is left out.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// Replaces the password of every URL in a text.
pub(crate) fn without_passwords(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`');
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + "://".len());
        clean.push_str(before);
        let (url, after) = url.split_at(url.find(is_end).unwrap_or(url.len()));
        // A password may hold an `@` of its own, encoded or not: the last one ends it.
        let user = url.rfind('@').and_then(|end| Some((url[..end].find(':')?, end)));
        let mut url = match user {
            // Our own messages show the form of a URL.
            Some((colon, end)) if &url[colon..end] != ":password" => format!("{}:***{}", &url[..colon], &url[end..]),
            _ => url.to_owned(),
        };
        if let Some(start) = url.find("password=") {
            let start = start + "password=".len();
            let end = url[start..].find('&').map_or(url.len(), |at| start + at);
            url.replace_range(start..end, "***");
        }
        clean.push_str(&url);
        rest = after;
    }
    clean + rest
}

#[cfg(test)]
mod tests {
    use super::{Context, with_causes, without_passwords};

    #[test]
    fn passwords_are_not_shown() {
        for (text, clean) in [
            ("no 'postgres://u:secret@h:1/d' here", "no 'postgres://u:***@h:1/d' here"),
            ("postgres://u:se@cr/et@h", "postgres://u:***@h"),
            ("a://h/d?user=u&password=secret&x=y b", "a://h/d?user=u&password=***&x=y b"),
            ("postgres://u@h:1/d and more", "postgres://u@h:1/d and more"),
            ("such as a://user:password@host", "such as a://user:password@host"),
            ("nothing to hide", "nothing to hide"),
        ] {
            assert_eq!(without_passwords(text), clean);
        }
    }

    #[test]
    fn causes_are_named_once() {
        let cause = Err::<(), _>(anyhow::anyhow!("no such file"));
        let error = cause.context("reading failed: no such file").context("no list").unwrap_err();
        assert_eq!(with_causes(&error), "no list: reading failed: no such file");
    }
}
