use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(unique = "payload", unique_within = "0s")]
struct SendEmail;

fn main() {}
