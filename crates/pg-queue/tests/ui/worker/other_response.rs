use pg_queue::{Context, Failed, Request, Responder};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Request)]
#[request(response = String)]
struct GetUser {
    id: i64,
}

struct App;

impl Responder<App> for GetUser {
    async fn respond(self, _: Context<App>) -> Result<u8, Failed> {
        Ok(1)
    }
}

fn main() {}
