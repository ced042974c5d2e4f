use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(keep = "0d")]
struct SendEmail;

fn main() {}
