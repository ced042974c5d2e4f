use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(cron = "0 9 * * mon-fri")]
struct Report {
    day: Option<String>,
}

fn main() {}
