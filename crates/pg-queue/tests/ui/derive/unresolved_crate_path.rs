use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "nowhere", priority = 3, backoff = "constant(5s)")]
struct SendEmail;

fn main() {}
