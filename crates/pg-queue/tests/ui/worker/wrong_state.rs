use pg_queue::{Context, Failure, Handler, Job, Outcome, PgQueue, Worker};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Job)]
struct SendEmail {
    to: String,
}

struct App;

impl Handler<App> for SendEmail {
    async fn run(self, _: Context<App>) -> Result<Outcome, Failure> {
        Ok(Outcome::Complete)
    }
}

fn build(queue: &PgQueue) {
    let _ = Worker::builder().register::<SendEmail>().build(queue, "not the App");
}

fn main() {}
