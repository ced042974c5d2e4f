use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(unique = "payload", on_conflict = "debounce(0s, max = 5m)")]
struct SendEmail;

fn main() {}
