//! What the compiler says about mistakes, as a user reads it: each file makes one, and the `.stderr` beside it holds
//! the one error that follows. After a change of wording, `TRYBUILD=overwrite cargo test --test compile_fail` rewrites
//! them; the diff is the review.

#[test]
fn mistakes_in_derive_job_are_reported_once_where_they_are() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/derive/pass/*.rs");
    cases.compile_fail("tests/ui/derive/*.rs");
}

#[test]
fn handlers_and_their_states_must_fit_together() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/worker/pass/*.rs");
    cases.compile_fail("tests/ui/worker/*.rs");
}
