use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(unique = "payload", on_conflict = "debounce(30s)")]
struct SendEmail;

fn main() {}
