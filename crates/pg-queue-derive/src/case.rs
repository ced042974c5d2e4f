//! A struct's name in `snake_case`.

/// A word starts at a capital that follows a small letter or a digit (`sendEmail`, `Sha256Sum`), and at the last
/// capital of a run when a small letter follows it (`HTTPRequest`). The kind is stored with every job, so this rule
/// can never change: a job written under the old spelling would find no handler.
pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    let mut letters = name.chars().peekable();
    let mut previous: Option<char> = None;
    while let Some(letter) = letters.next() {
        if letter.is_uppercase() {
            let starts_word = previous.is_some_and(|p| {
                let ends_run = p.is_uppercase() && letters.peek().is_some_and(|next| next.is_lowercase());
                p.is_lowercase() || p.is_numeric() || ends_run
            });
            if starts_word {
                snake.push('_');
            }
            snake.extend(letter.to_lowercase());
        } else {
            snake.push(letter);
        }
        previous = Some(letter);
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn words_are_parted_where_a_reader_would_part_them() {
        for (name, snake) in [
            ("Email", "email"),
            ("SendEmail", "send_email"),
            ("SendHTTPRequest", "send_http_request"),
            ("HTTPRequest", "http_request"),
            ("ParseXML", "parse_xml"),
            ("ABTest", "ab_test"),
            ("A", "a"),
        ] {
            assert_eq!(snake_case(name), snake, "{name}");
        }
    }

    #[test]
    fn digits_stay_with_the_word_before_them() {
        for (name, snake) in
            [("Sha256Sum", "sha256_sum"), ("HTTP2Server", "http2_server"), ("SendV2", "send_v2"), ("X509", "x509")]
        {
            assert_eq!(snake_case(name), snake, "{name}");
        }
    }

    #[test]
    fn underscores_are_kept_and_not_doubled() {
        for (name, snake) in [
            ("Send_Email", "send_email"),
            ("send_email", "send_email"),
            ("_Hidden", "_hidden"),
            ("SEND_EMAIL", "send_email"),
        ] {
            assert_eq!(snake_case(name), snake, "{name}");
        }
    }

    #[test]
    fn letters_outside_ascii_are_letters() {
        assert_eq!(snake_case("GrößeÄndern"), "größe_ändern");
    }
}
