use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
struct Deliver<T> {
    message: T,
}

fn main() {}
