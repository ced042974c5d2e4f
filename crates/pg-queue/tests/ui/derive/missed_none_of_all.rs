use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize, Job)]
#[job(cron = "@daily", missed = "all(0)")]
struct Report;

fn main() {}
