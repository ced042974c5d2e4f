//! pg-queue-worker against a real PostgreSQL: one binary, so that one server serves all tests; one module a subject.

mod acks;
mod builds;
mod cancels;
mod completes;
#[cfg(unix)]
mod death;
mod ends;
mod fences;
mod lanes;
mod life;
mod middleware;
mod outage;
mod outputs;
#[cfg(unix)]
mod process;
mod runs;
mod shutdown;
mod slots;
mod soak;
mod support;
mod wakes;
