//! What the compiler says about mistakes, as a user reads it: each file makes one, and the `.stderr` beside it holds
//! the one error that follows. After a change of wording, `TRYBUILD=overwrite cargo test --test compile_fail` rewrites
//! them; the diff is the review.
//!
//! What is right is in `derive.rs` and `handlers.rs`, and not here, where it would build all dependencies once more.

#[test]
fn mistakes_are_reported_once_where_they_are() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/derive/*.rs");
    cases.compile_fail("tests/ui/request/*.rs");
    cases.compile_fail("tests/ui/queue/*.rs");
    cases.compile_fail("tests/ui/worker/*.rs");
    cases.compile_fail("tests/ui/testing/*.rs");
}
