use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(unique = "payload", unique_until = "1h")]
struct SendEmail;

fn main() {}
