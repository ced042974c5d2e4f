use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(unique = "payload", unique_scope = "tenant")]
struct SendEmail;

fn main() {}
