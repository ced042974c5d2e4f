//! A typed service behind a web front: axum calls, two responders answer, and all that they share is the database. Needs
//! PostgreSQL's programs, or `DATABASE_URL`.

use std::{collections::HashMap, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use pg_queue::{CallError, Context, PgQueue, Request, Responder, Worker};
use pg_queue_embedded::{Database, Server, Settings};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

// What callers and responders share: in a crate of its own, if they are different programs.

#[derive(Serialize, Deserialize, Request)]
#[request(queue = "users", response = User, error = UserError, timeout = "2s")]
struct GetUser {
    id: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct User {
    name: String,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
enum UserError {
    #[error("there is no user {0}")]
    NotFound(i64),
}

// The responder.

struct Users(HashMap<i64, User>);

impl Responder<Users> for GetUser {
    async fn respond(self, ctx: Context<Users>) -> Result<User, UserError> {
        ctx.state().0.get(&self.id).cloned().ok_or(UserError::NotFound(self.id))
    }
}

fn responder(mgr: &PgQueue) -> anyhow::Result<Worker<Users>> {
    let users = Users(HashMap::from([(1, User { name: "Ada".to_owned() })]));
    Ok(Worker::builder().respond::<GetUser>().build(mgr, users)?)
}

// The front.

async fn user(State(mgr): State<PgQueue>, Path(id): Path<i64>) -> Result<String, StatusCode> {
    match mgr.call(&GetUser { id }).await {
        Ok(user) => Ok(user.name),
        Err(CallError::App(UserError::NotFound(_))) => Err(StatusCode::NOT_FOUND),
        Err(CallError::NoResponder { .. }) => Err(StatusCode::SERVICE_UNAVAILABLE),
        Err(CallError::TimedOut) => Err(StatusCode::GATEWAY_TIMEOUT),
        Err(error) => {
            eprintln!("user {id}: {error}");
            Err(StatusCode::BAD_GATEWAY)
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::from_env_or_start(Settings::for_tests())?;
    let database = Database::create(&server).await?;
    let mgr = PgQueue::new(database.pool().await?);
    mgr.migrate().await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let front = Router::new().route("/users/{id}", get(user)).with_state(mgr.clone());
    let front = tokio::spawn(async move { axum::serve(listener, front).await });

    // Nobody responds yet, and the front learns of it without waiting for its timeout.
    expect(address, "/users/1", "503").await?;

    let responders = [responder(&mgr)?, responder(&mgr)?];
    let handles = responders.each_ref().map(Worker::handle);
    let responders = responders.map(|responder| tokio::spawn(responder.run()));
    let warm_up =
        mgr.call(&GetUser { id: 1 }).timeout(Duration::from_secs(30)).no_responder_after(Duration::from_secs(30));
    println!("user 1 is {}", warm_up.await?.name);
    expect(address, "/users/1", "200").await?;
    expect(address, "/users/2", "404").await?;

    handles.iter().for_each(pg_queue::WorkerHandle::shut_down);
    let mut answered = 0;
    for responder in responders {
        answered += responder.await??.completed;
    }
    front.abort();
    anyhow::ensure!(answered == 3, "{answered} calls were answered");
    Ok(())
}

/// Asks the front as a browser would.
async fn expect(address: std::net::SocketAddr, path: &str, status: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let line = response.lines().next().unwrap_or_default();
    println!("GET {path}: {line}");
    anyhow::ensure!(line.contains(status), "{line}");
    Ok(())
}
