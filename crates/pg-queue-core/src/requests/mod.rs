//! Requests: jobs for whose end somebody waits.

mod abandon;
mod prune;
mod servers;
mod withdraw;

pub use self::{
    abandon::{Abandoned, abandon},
    prune::prune,
    servers::{Server, servers},
    withdraw::withdraw,
};
