use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(backoff = "quadratic(1s)")]
struct SendEmail;

fn main() {}
