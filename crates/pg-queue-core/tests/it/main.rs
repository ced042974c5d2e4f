//! pg-queue-core against a real PostgreSQL: one binary, so that one server serves all tests; one module a subject.

mod cache;
mod cancel;
mod claim;
mod clock;
mod crash;
mod enqueue;
mod failures;
mod history;
mod kept;
mod late;
mod leases;
mod migrations;
mod model;
mod operate;
mod plans;
mod push;
mod push_sql;
mod queues;
mod replies;
mod schedules;
mod statements;
mod support;
mod take;
mod unique;
mod wake;
mod workers;
