use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(response = u8, max_attempts = "3")]
struct GetUser {
    id: i64,
}

fn main() {}
