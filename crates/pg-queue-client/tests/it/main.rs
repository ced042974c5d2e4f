//! The client against a real PostgreSQL.

mod ack;
mod cache;
mod connecting;
mod credentials;
mod enqueue;
mod half_open;
mod history;
mod listener;
mod missing;
mod operate;
mod queue;
mod reconnect;
mod request_response;
mod schema;
mod single_flight;
mod support;
mod undecodable;
