use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(backoff = |attempt| Duration::from_secs(attempt.into()))]
struct SendEmail;

fn main() {}
