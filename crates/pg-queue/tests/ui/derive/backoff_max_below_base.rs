use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(backoff = "exponential(1m, max = 30s)")]
struct SendEmail;

fn main() {}
