use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(aliases = ["old_name", 3])]
struct SendEmail;

fn main() {}
