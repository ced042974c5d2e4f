use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(response = "User")]
struct GetUser {
    id: i64,
}

fn main() {}
