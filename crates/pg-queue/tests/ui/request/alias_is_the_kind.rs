use pg_queue::Request;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(response = u8, aliases = ["get_user"])]
struct GetUser {
    id: i64,
}

fn main() {}
