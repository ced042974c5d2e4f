use pg_queue::Job;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
enum Email {
    Welcome { to: String },
    Farewell,
}

fn main() {}
