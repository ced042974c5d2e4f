use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(backoff = "constant(0s)")]
struct SendEmail;

fn main() {}
