use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(aliases = ["old_name", "older_name", "old_name"])]
struct SendEmail;

fn main() {}
