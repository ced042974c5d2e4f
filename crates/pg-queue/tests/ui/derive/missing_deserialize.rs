use pg_queue::Job;
use serde::Serialize;

#[derive(Serialize, Job)]
struct SendEmail {
    to: String,
}

fn enqueue<J: Job>(_job: J) {}

fn main() {
    enqueue(SendEmail { to: String::new() });
}
