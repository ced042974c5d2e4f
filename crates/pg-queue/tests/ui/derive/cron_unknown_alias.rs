use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize, Job)]
#[job(cron = "@reboot")]
struct Report;

fn main() {}
