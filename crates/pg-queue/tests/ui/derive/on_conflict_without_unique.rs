use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
#[job(on_conflict = "replace")]
struct SendEmail;

fn main() {}
