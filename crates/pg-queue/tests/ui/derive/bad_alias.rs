use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(aliases = ["old\0name"])]
struct SendEmail;

fn main() {}
