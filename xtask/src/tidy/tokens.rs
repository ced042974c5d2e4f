//! Rust source as a flat list of tokens, so that a rule never stumbles over a comment or a string.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::Violation;

/// A word, a sign, a bracket or a literal as it is written.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) place: Place,
}

/// What a token is inside of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// An item that is only there for tests.
    pub(super) test: bool,
    /// The body of a loop or of a `select!`.
    pub(super) repeated: bool,
}

impl Token {
    /// What a string literal says, if this is one; escapes stay as they are written.
    pub(super) fn string(&self) -> Option<&str> {
        let text = self.text.trim_start_matches(['r', 'b', 'c']).trim_matches('#');
        text.strip_prefix('"')?.strip_suffix('"')
    }
}

/// The tokens of a file without comments, those of the documentation included.
pub(super) fn read(path: &str, text: &str) -> Result<Vec<Token>, Violation> {
    let stream: TokenStream = text
        .parse()
        .map_err(|error: proc_macro2::LexError| Violation::new(path, error.span().start().line, "this is not Rust"))?;
    let mut tokens = Vec::new();
    flatten(stream, Place::default(), &mut tokens);
    Ok(tokens)
}

fn flatten(stream: TokenStream, outer: Place, tokens: &mut Vec<Token>) {
    let mut place = outer;
    // Whether the next `{` is the body of a loop, and whether a `for` belongs to an `impl`.
    let mut before_body = false;
    let mut after_impl = false;
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        let mut push = |text: String, line| tokens.push(Token { text, line, place });
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = brackets(group.delimiter());
                let is_body = group.delimiter() == Delimiter::Brace;
                push(open.into(), line);
                let inside = Place { repeated: place.repeated || (is_body && before_body), ..place };
                flatten(group.stream(), inside, tokens);
                tokens.push(Token { text: close.into(), line: group.span_close().start().line, place });
                if is_body {
                    // The end of an item, perhaps of one that began with `#[cfg(test)]`.
                    (place, before_body, after_impl) = (outer, false, false);
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                trees.next_if(|it| matches!(it, TokenTree::Punct(next) if next.as_char() == '!'));
                let is_attribute =
                    |it: &TokenTree| matches!(it, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket);
                let Some(TokenTree::Group(attribute)) = trees.next_if(is_attribute) else {
                    continue;
                };
                let text = attribute.stream().to_string().replace(' ', "");
                if !text.starts_with("doc=") {
                    place.test |= text == "cfg(test)";
                    tokens.push(Token { text: "#[".into(), line, place });
                    flatten(attribute.stream(), place, tokens);
                    tokens.push(Token { text: "]".into(), line, place });
                }
            }
            TokenTree::Punct(punct) => {
                push(punct.as_char().into(), line);
                if punct.as_char() == ';' {
                    (place, before_body, after_impl) = (outer, false, false);
                }
            }
            tree => {
                let text = tree.to_string();
                before_body |= matches!(text.as_str(), "loop" | "while" | "select") || (text == "for" && !after_impl);
                after_impl |= text == "impl";
                push(text, line);
            }
        }
    }
}

fn brackets(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

/// The places where these tokens follow each other.
pub(super) fn find<'a>(tokens: &'a [Token], wanted: &'a [&str]) -> impl Iterator<Item = &'a [Token]> {
    tokens
        .windows(wanted.len())
        .filter(move |window| window.iter().zip(wanted).all(|(token, text)| token.text == *text))
}

#[cfg(test)]
mod tests {
    use super::{find, read};

    #[test]
    fn comments_vanish_and_strings_stay_whole() {
        let source = "/// todo!()\n// todo!()\nfn f() { g(\"todo!()\"); todo!() }";
        let tokens = read("x.rs", source).expect("it is Rust");
        let found: Vec<usize> = find(&tokens, &["todo", "!"]).map(|at| at[0].line).collect();
        assert_eq!(found, [3]);
        let strings: Vec<&str> = tokens.iter().filter_map(super::Token::string).collect();
        assert_eq!(strings, ["todo!()"]);
    }

    #[test]
    fn items_for_tests_are_told_from_the_others() {
        let source =
            "fn a() {}\n#[cfg(test)]\nuse x::b;\nfn c() {}\n#[cfg(test)]\n#[x]\nmod d { fn e() {} }\nfn f() {}";
        let tokens = read("x.rs", source).expect("it is Rust");
        let is_test = |name: &str| tokens.iter().find(|it| it.text == name).map(|it| it.place.test);
        let names = ["a", "b", "c", "d", "e", "f"];
        assert_eq!(names.map(|name| is_test(name) == Some(true)), [false, true, false, true, true, false]);
    }

    #[test]
    fn loops_are_told_from_other_bodies() {
        let source = "impl A for B { fn f() { a; for x in y { b; { c } } d; loop { e } while f { g; } \
            select! { h => i } if j { k } } }";
        let tokens = read("x.rs", source).expect("it is Rust");
        let repeated = tokens.iter().filter(|it| it.place.repeated && it.text.chars().all(char::is_alphabetic));
        let repeated: Vec<&str> = repeated.map(|it| it.text.as_str()).collect();
        assert_eq!(repeated, ["b", "c", "e", "g", "h", "i"]);
    }

    #[test]
    fn raw_strings_are_strings() {
        let tokens = read("x.rs", "f(r#\"a \"b\" c\"#, b\"d\", 'e', 1)").expect("it is Rust");
        let strings: Vec<&str> = tokens.iter().filter_map(super::Token::string).collect();
        assert_eq!(strings, ["a \"b\" c", "d"]);
    }

    #[test]
    fn what_is_not_rust_is_a_violation() {
        let violation = read("x.rs", "fn f() {\n\n").expect_err("a bracket is missing");
        assert_eq!(violation.path, "x.rs");
    }
}
