//! pg-queue-worker against a real PostgreSQL: one binary, so that one server serves all tests; one module a subject.

mod acks;
mod ahead;
mod beside;
mod builds;
mod cancels;
mod clocks;
mod completes;
mod cron;
#[cfg(unix)]
mod death;
mod drain;
mod ends;
mod fences;
mod lanes;
mod life;
mod logs;
mod middleware;
mod moved_clock;
mod outage;
mod outputs;
mod parks;
#[cfg(unix)]
mod pooler;
#[cfg(unix)]
mod process;
mod responds;
mod restarts;
mod run_job;
mod runs;
mod shutdown;
mod slots;
mod soak;
#[cfg(unix)]
mod stops;
mod support;
mod wakes;
mod year;
