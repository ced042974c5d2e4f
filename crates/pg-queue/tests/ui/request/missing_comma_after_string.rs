use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(queue = "users" response = u8)]
struct GetUser {
    id: i64,
}

fn main() {}
