use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(queue = QUEUE)]
struct SendEmail;

const QUEUE: &str = "emails";

fn main() {}
