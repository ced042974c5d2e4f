use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(response = u8)]
enum GetUser {
    Id(i64),
}

fn main() {}
