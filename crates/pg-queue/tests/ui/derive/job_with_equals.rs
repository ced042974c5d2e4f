use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job = "emails"]
struct SendEmail;

fn main() {}
