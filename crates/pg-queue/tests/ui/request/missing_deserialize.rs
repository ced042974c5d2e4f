use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Request)]
#[request(response = u8)]
struct GetUser {
    id: i64,
}

fn main() {}
