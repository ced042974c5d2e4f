use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(queue = "emails")]
#[job(queue = "letters")]
struct SendEmail;

fn main() {}
