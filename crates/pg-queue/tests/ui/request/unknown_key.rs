use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(response = u8, time_out = "2s")]
struct GetUser {
    id: i64,
}

fn main() {}
