use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(priority = 10)]
struct SendEmail {
    to: String,
}

fn enqueue<J: Job>(_job: J) {}

fn main() {
    enqueue(SendEmail { to: String::new() });
}
