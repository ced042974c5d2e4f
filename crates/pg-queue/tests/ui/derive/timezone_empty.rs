use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize, Job)]
#[job(cron = "@daily", timezone = "")]
struct Report;

fn main() {}
