use pg_queue::{Job, PgQueue, Worker};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
struct SendEmail {
    to: String,
}

struct App;

fn build(queue: &PgQueue) {
    let _ = Worker::builder().register::<SendEmail>().build(queue, App);
}

fn main() {}
