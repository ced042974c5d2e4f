use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(aliases = ["send_email"])]
struct SendEmail;

fn main() {}
