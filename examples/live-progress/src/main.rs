//! Live progress in a page: a job publishes how far it is, and a handler of axum passes that on as server-sent events. Needs
//! PostgreSQL's programs, or `DATABASE_URL`.
//!
//! The page and the worker may be in different processes: all that they share is the database.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::sse::{self, KeepAlive, Sse},
    routing::get,
};
use futures_util::{Stream, StreamExt, future};
use pg_queue::{Context, Failure, Handler, Job, Outcome, PgQueue, QueueName, Worker, topics::Event};
use pg_queue_embedded::{Database, Server, Settings};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

#[derive(Serialize, Deserialize, Job)]
#[job(queue = "exports")]
struct Export {
    id: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    percent: u8,
}

fn topic(id: u32) -> String {
    format!("exports.{id}")
}

impl Handler<PgQueue> for Export {
    async fn run(self, ctx: Context<PgQueue>) -> Result<Outcome, Failure> {
        for percent in (0..=100).step_by(25) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            ctx.state().topics.publish(topic(self.id), &Progress { percent }).await?;
        }
        Ok(Outcome::Complete)
    }
}

/// Starts the export when somebody looks at it, so that the page sees all of it.
async fn events(
    State(mgr): State<PgQueue>,
    Path(id): Path<u32>,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, StatusCode> {
    let subscription = mgr.topics.subscribe::<Progress>(topic(id)).await;
    let subscription = subscription.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Export { id }.enqueue(&mgr).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let events = subscription.filter_map(|event| {
        future::ready(match event {
            Event::Message(received) => Some(Ok(sse::Event::default().data(received.message.percent.to_string()))),
            // The page may have missed the end: it asks how things stand.
            Event::Gap | Event::Lagged(_) => Some(Ok(sse::Event::default().event("reload"))),
            _ => None,
        })
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::from_env_or_start(Settings::for_tests())?;
    let database = Database::create(&server).await?;
    let mgr = PgQueue::new(database.pool().await?);
    mgr.migrate().await?;
    mgr.queue.create(&QueueName::new("exports")?).await?;

    let worker = Worker::builder().register::<Export>().build(&mgr, mgr.clone())?;
    let handle = worker.handle();
    let worker = tokio::spawn(worker.run());

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/exports/{id}/events", get(events)).with_state(mgr);
    tokio::spawn(async move { axum::serve(listener, app).await });

    // What a browser's EventSource does.
    let mut page = TcpStream::connect(address).await?;
    page.write_all(b"GET /exports/7/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let mut lines = BufReader::new(page).lines();
    while let Some(line) = lines.next_line().await? {
        let Some(percent) = line.strip_prefix("data: ") else { continue };
        println!("export 7: {percent} %");
        if percent == "100" {
            break;
        }
    }

    handle.shut_down();
    worker.await??;
    Ok(())
}
