use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(response = u8)]
struct GetUser<T> {
    id: T,
}

fn main() {}
