use pg_queue::{PgQueue, Request, Worker};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(response = String)]
struct GetUser {
    id: i64,
}

struct App;

fn build(queue: &PgQueue) {
    let _ = Worker::builder().respond::<GetUser>().build(queue, App);
}

fn main() {}
