use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "my crate")]
struct SendEmail;

fn main() {}
