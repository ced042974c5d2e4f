use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(queue = "Users", timeout = 2, colour = 1, response = HashMap<String, u8>, kind = "")]
struct GetUser {
    id: i64,
}

fn main() {}
