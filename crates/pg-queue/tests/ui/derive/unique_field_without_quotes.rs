use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(unique = [to])]
struct SendEmail {
    to: String,
    subject: String,
}

fn main() {}
