//! What all contestants have in common: the work that they are put to, and the protocol by which the runner drives them.
//!
//! A contestant implements [`Contestant`] and calls [`main`]; one that carries messages implements [`Messenger`] and calls
//! [`main_of_messenger`], or [`main_of_both`]. Its program takes
//!
//! ```text
//! <program> <command> <URL of the database or server> [key=value ..]
//! ```
//!
//! - `about` says as one JSON object which version this is, and how it is set up;
//! - `setup` makes the tables in an empty database, `preload` fills them, `count` counts the unfinished jobs;
//! - `produce`, `bulk`, `work` and `hand` are what is measured, and `publish` and `subscribe` for messages. They get ready,
//!   say so in a line of JSON, and wait for orders on their standard input: `go` begins; `sample` asks what has come of it
//!   so far; `expect N SKIP` tells a worker or subscribers how many jobs or messages there are in all, and how many of the
//!   first ones were for warming up. The outcome is one more line of JSON. Then they wait for the end of their standard
//!   input, so that the server's processes can be looked at while they still exist.
#![forbid(unsafe_code)]

mod bulk;
mod contestant;
mod driver;
mod hand;
mod ledger;
mod orders;
mod params;
mod payload;
mod produce;
mod topics;
mod usage;
mod waiting;
mod work;

pub use self::{
    contestant::{About, Batch, Contestant},
    driver::{main, main_of_both, main_of_messenger},
    ledger::{checksum_of, handle, handle_now},
    params::Params,
    payload::Payload,
    topics::{Messenger, Received},
};
