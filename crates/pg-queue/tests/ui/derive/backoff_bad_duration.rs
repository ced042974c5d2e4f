use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(backoff = "linear(five seconds)")]
struct SendEmail;

fn main() {}
