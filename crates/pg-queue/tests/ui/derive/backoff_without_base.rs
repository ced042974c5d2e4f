use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(backoff = "exponential(max = 10m)")]
struct SendEmail;

fn main() {}
