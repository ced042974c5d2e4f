//! What can be measured: read from the text that the help shows, so that the runner need not be built to know it.

/// The runner has a test that this is all, and no more.
pub(super) const TEXT: &str = include_str!("../../../benchmarks/scenarios.txt");

pub(super) fn scenarios() -> Vec<&'static str> {
    names("Scenarios")
}

pub(super) fn peers() -> Vec<&'static str> {
    names("Peers")
}

/// The first words of the lines below a title, without those that go on from the line before.
fn names(title: &str) -> Vec<&'static str> {
    let below = TEXT.lines().skip_while(|line| !line.starts_with(title)).skip(1);
    let part = below.take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    part.filter_map(|line| line.split_whitespace().next()).collect()
}

#[cfg(test)]
mod tests {
    use super::{peers, scenarios};

    #[test]
    fn the_list_is_read() {
        assert!(scenarios().contains(&"enqueue-1") && scenarios().contains(&"gate"), "{:?}", scenarios());
        assert_eq!(peers().first(), Some(&"pg-queue"));
        assert!(peers().contains(&"bare-loop"), "{:?}", peers());
    }
}
