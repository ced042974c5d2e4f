use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(queue = "emails",, priority = 3)]
struct SendEmail;

fn main() {}
