use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(queue = "", timeout = "soon", retries = 3)]
#[job(priority = "high")]
#[job(max_attempts = 0, queue = "emails")]
struct SendEmail;

fn main() {}
