use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
struct JobJobJobJobJobJobJobJobJobJobJobJobJobJobJobJobJobJobJobJobJobJobJobJobJobJob;

fn main() {}
