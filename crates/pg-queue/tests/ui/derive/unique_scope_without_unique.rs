use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(unique_scope = "queue")]
struct SendEmail;

fn main() {}
