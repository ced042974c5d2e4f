//! Just enough of URLs to name another database on the same server.

use std::fmt::Write;

/// The URL with its database replaced, and user, password, hosts and all other parameters kept as they were.
pub(crate) fn with_database(url: &str, database: &str) -> String {
    let authority = url.find("://").map_or(0, |at| at + "://".len());
    let (server, rest) = split_before(url, authority, &['/', '?', '#']);
    let query = rest.find('?').map_or("", |at| &rest[at + 1..]);
    // This parameter would win over the path.
    let query: Vec<&str> = query.split('&').filter(|it| !it.is_empty() && !it.starts_with("dbname=")).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{server}/{}{mark}{}", encode(database.as_bytes()), query.join("&"))
}

fn split_before<'a>(text: &'a str, from: usize, ends: &[char]) -> (&'a str, &'a str) {
    let end = text[from..].find(ends).map_or(text.len(), |at| from + at);
    text.split_at(end)
}

/// Percent-encodes all but the characters that stand for themselves anywhere in a URL.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, &byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(byte.into()),
            _ => write!(text, "%{byte:02X}").expect("a String takes everything"),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{encode, with_database};

    #[test]
    fn all_but_the_database_is_kept() {
        for (given, expected) in [
            ("postgres://u:p%40ss@h:1/old?sslmode=disable&a=b", "postgres://u:p%40ss@h:1/new?sslmode=disable&a=b"),
            ("postgresql://h?dbname=old&sslmode=disable", "postgresql://h/new?sslmode=disable"),
            ("postgres:///old?host=/run/postgresql", "postgres:///new?host=/run/postgresql"),
            ("postgres://u@%2Frun%2Fpg/?dbname=old", "postgres://u@%2Frun%2Fpg/new"),
            ("postgres://h", "postgres://h/new"),
        ] {
            assert_eq!(with_database(given, "new"), expected);
        }
    }

    #[test]
    fn what_would_end_a_path_is_encoded() {
        assert_eq!(encode("a-b_c.d~/? é".as_bytes()), "a-b_c.d~%2F%3F%20%C3%A9");
    }
}
