use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request = "users"]
struct GetUser {
    id: i64,
}

fn main() {}
