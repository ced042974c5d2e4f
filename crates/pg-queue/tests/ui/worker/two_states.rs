use pg_queue::{Context, Failure, Handler, Job, Outcome, PgQueue, Worker};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
struct SendEmail {
    to: String,
}

#[derive(Serialize, Deserialize, Job)]
struct MakeInvoice {
    number: u64,
}

struct Mailer;
struct Books;

impl Handler<Mailer> for SendEmail {
    async fn run(self, _: Context<Mailer>) -> Result<Outcome, Failure> {
        Ok(Outcome::Complete)
    }
}

impl Handler<Books> for MakeInvoice {
    async fn run(self, _: Context<Books>) -> Result<Outcome, Failure> {
        Ok(Outcome::Complete)
    }
}

fn build(queue: &PgQueue) {
    let _ = Worker::builder().register::<SendEmail>().register::<MakeInvoice>().build(queue, Mailer);
}

fn main() {}
