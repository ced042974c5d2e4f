//! From the tokens after `key =` to what the key takes, such as a literal. What that says is judged in `valid`.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{ExprPath, LitStr, parse::Parse};

use crate::{
    errors::Errors,
    key::{Key, Named},
};

/// The value of a key that takes a string or something else.
pub(crate) enum TextOr<T> {
    Text(LitStr),
    Other(T),
}

/// Reads what is one token, such as a literal. A minus sign is a token of its own, and no key takes one.
pub(crate) fn literal<T: Parse>(key: impl Named, value: TokenStream, errors: &mut Errors) -> Option<T> {
    let is_one_token = value.clone().into_iter().nth(1).is_none();
    let literal = syn::parse2(value.clone()).ok().filter(|_| is_one_token);
    if literal.is_none() {
        errors.at(value, format_args!("`{}` {}", key.name(), key.takes()));
    }
    literal
}

/// Reads a string, or the path of something in the user's code.
pub(crate) fn text_or_path(key: Key, value: TokenStream, errors: &mut Errors) -> Option<TextOr<ExprPath>> {
    match syn::parse2(value.clone()) {
        Ok(path) => Some(TextOr::Other(path)),
        Err(_) => literal(key, value, errors).map(TextOr::Text),
    }
}

/// Reads a string, or strings in brackets, of which there must be one.
pub(crate) fn text_or_list(key: Key, value: TokenStream, errors: &mut Errors) -> Option<TextOr<Vec<LitStr>>> {
    match in_brackets(value.clone()) {
        Some(elements) if !elements.is_empty() => Some(TextOr::Other(strings(key, elements, errors))),
        _ => literal(key, value, errors).map(TextOr::Text),
    }
}

/// Reads strings in brackets.
pub(crate) fn list(key: Key, value: TokenStream, errors: &mut Errors) -> Option<Vec<LitStr>> {
    let elements = in_brackets(value.clone());
    if elements.is_none() {
        errors.at(value, format_args!("`{}` {}", key.name(), key.takes()));
    }
    elements.map(|elements| strings(key, elements, errors))
}

/// What stands in the brackets, if that is all there is.
fn in_brackets(value: TokenStream) -> Option<TokenStream> {
    let mut tokens = value.into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::Bracket => Some(group.stream()),
        // What a `macro_rules` fragment left around the list.
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => in_brackets(group.stream()),
        _ => None,
    }
}

fn strings(key: Key, elements: TokenStream, errors: &mut Errors) -> Vec<LitStr> {
    split_at_commas(elements, errors)
        .into_iter()
        .filter_map(|element| literal(key, element.into_iter().collect(), errors))
        .collect()
}

/// Splits at the commas outside of any bracket. One may trail.
pub(crate) fn split_at_commas(tokens: TokenStream, errors: &mut Errors) -> Vec<Vec<TokenTree>> {
    let mut entries = vec![Vec::new()];
    for token in tokens {
        let entry = entries.last_mut().expect("the list starts with one entry and only grows");
        match &token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                if entry.is_empty() {
                    errors.at(comma, "expected something before this comma");
                } else {
                    entries.push(Vec::new());
                }
            }
            _ => entry.push(token),
        }
    }
    entries.retain(|entry| !entry.is_empty());
    entries
}
