use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(timezone = "Europe/Vienna")]
struct Report;

fn main() {}
