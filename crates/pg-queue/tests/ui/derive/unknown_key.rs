use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(timeuot = "30s")]
struct SendEmail;

fn main() {}
