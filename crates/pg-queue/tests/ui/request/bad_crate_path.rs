use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(response = u8, crate = "my crate")]
struct GetUser {
    id: i64,
}

fn main() {}
