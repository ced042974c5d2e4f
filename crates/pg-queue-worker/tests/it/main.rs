//! pg-queue-worker against a real PostgreSQL: one binary, so that one server serves all tests; one module a subject.

mod builds;
mod completes;
mod ends;
mod runs;
mod support;
mod wakes;
