use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(timeout = "99999999999999999999d")]
struct SendEmail;

fn main() {}
