use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(unique = ["to", "handle"])]
struct SendEmail {
    to: String,
    #[serde(skip)]
    handle: Handle,
}

#[derive(Default)]
struct Handle;

fn main() {}
