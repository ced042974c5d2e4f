use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(aliases = "old_name")]
struct SendEmail;

fn main() {}
