use pg_queue::{PgQueue, QueueName};

async fn forgets_to_pop(queue: PgQueue, emails: QueueName) {
    let pushed = queue.queue.push(&emails, &"a@example.org").await.unwrap();
    queue.queue.complete(&emails, pushed).await.unwrap();
}

fn main() {}
