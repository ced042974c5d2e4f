//! pg-queue-core against a real PostgreSQL: one binary, so that one server serves all tests; one module a subject.

mod claim;
mod failures;
mod leases;
mod migrations;
mod plans;
mod push;
mod push_sql;
mod queues;
mod statements;
mod support;
