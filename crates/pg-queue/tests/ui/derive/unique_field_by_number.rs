use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(unique = ["2"])]
struct SendEmail(String, String);

fn main() {}
