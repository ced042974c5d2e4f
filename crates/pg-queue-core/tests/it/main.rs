//! pg-queue-core against a real PostgreSQL: one binary, so that one server serves all tests; one module a subject.

mod smoke;
mod support;
