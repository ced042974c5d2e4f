use pg_queue::{Job, PgQueue, testing::assert_enqueued};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
struct SendEmail;

async fn example(mgr: PgQueue, email: SendEmail) {
    assert_enqueued!(&mgr, email); // `&email` is right
}

fn main() {}
