use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
struct SendEmail {
    #[job(queue = "emails")]
    to: String,
}

fn main() {}
