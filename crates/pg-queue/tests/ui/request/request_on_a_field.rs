use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(response = u8)]
struct GetUser {
    #[request(response = u8)]
    id: i64,
}

fn main() {}
