use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(unique = ["to", "day"])]
struct SendEmail {
    to: String,
    subject: String,
}

fn main() {}
