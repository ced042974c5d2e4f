use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize, Job)]
#[job(cron = "0 0 9 * * mon-fri 2026")]
struct Report;

fn main() {}
