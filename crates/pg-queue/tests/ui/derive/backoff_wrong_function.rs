use std::time::Duration;

use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(backoff = slow)]
struct SendEmail;

fn slow(attempt: u32) -> Duration {
    Duration::from_secs(attempt.into())
}

fn main() {}
