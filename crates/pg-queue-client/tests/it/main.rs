//! The client against a real PostgreSQL.

mod ack;
mod at_hand;
mod batches;
mod bindings;
mod cache;
mod cache_crash;
mod cache_housekeeping;
mod cache_lanes;
mod cache_limits;
mod cache_loading;
mod cache_locks;
#[cfg(unix)]
mod cache_stopped;
mod cache_tier;
mod clock;
mod connecting;
mod credentials;
mod enqueue;
mod enqueued;
mod half_open;
mod history;
mod holes;
mod listener;
mod logs;
mod missing;
mod operate;
#[cfg(unix)]
mod pooler;
mod queue;
mod reconnect;
mod request_response;
#[cfg(feature = "cron")]
mod schedules;
mod schema;
mod single_flight;
mod support;
#[cfg(feature = "cron")]
mod timetables;
mod topics;
mod undecodable;
