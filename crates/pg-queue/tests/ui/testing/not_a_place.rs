use pg_queue::{Job, PgQueue, testing::assert_enqueued};
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, Transaction};

#[derive(Serialize, Deserialize, Job)]
struct SendEmail;

async fn example(_: PgQueue, mut tx: Transaction<'_, Postgres>) {
    assert_enqueued!(&mut tx, SendEmail);
}

fn main() {}
