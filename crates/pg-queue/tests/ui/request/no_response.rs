use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
struct GetUser {
    id: i64,
}

fn main() {}
