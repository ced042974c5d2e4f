//! Numbers as people and programs read them.

/// 1234567 as 1,234,567.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let from_the_end = |at: usize| digits.len() - at;
    let separated = digits.char_indices().map(|(at, digit)| match from_the_end(at) {
        place if at > 0 && place % 3 == 0 => format!(",{digit}"),
        _ => digit.to_string(),
    });
    separated.collect()
}

/// To three places.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }
}
