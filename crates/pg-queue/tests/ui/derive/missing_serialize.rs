use pg_queue::Job;
use serde::Deserialize;

#[derive(Deserialize, Job)]
struct SendEmail {
    to: String,
}

fn enqueue<J: Job>(_job: J) {}

fn main() {
    enqueue(SendEmail { to: String::new() });
}
