//! An endpoint of axum whose answers are cached: among all processes each is loaded once, and what is asked for most is in this
//! process's memory. Needs PostgreSQL's programs, or `DATABASE_URL`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use pg_queue::{Cache, GetOrSetError, LoadOptions, LocalTier, PgQueue};
use pg_queue_embedded::{Database, Server, Settings};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

#[derive(Clone)]
struct App {
    cache: Cache,
    loads: Arc<AtomicU32>,
}

#[derive(Serialize, Deserialize)]
struct Report {
    id: u32,
    version: u32,
}

impl App {
    /// Stands for something slow: a query over millions of rows.
    async fn load(&self, id: u32) -> Result<Option<Report>, std::io::Error> {
        let version = self.loads.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok((id < 100).then_some(Report { id, version }))
    }
}

fn key(id: u32) -> String {
    format!("report:{id}")
}

async fn report(State(app): State<App>, Path(id): Path<u32>) -> Result<Json<Report>, StatusCode> {
    // For five minutes, a little less for some so that they do not expire together. For a minute more it is shown while one caller
    // loads it again. That there is none is remembered for ten seconds.
    let options = LoadOptions::new(300).jitter(0.1).stale_for(Duration::from_secs(60)).missing_for(10);
    match app.cache.find_or_load(key(id), options, || app.load(id)).await {
        Ok(report) => report.map(Json).ok_or(StatusCode::NOT_FOUND),
        Err(GetOrSetError::Load(_)) => Err(StatusCode::BAD_GATEWAY),
        // The cache is down, or somebody else has been loading for long. The report can be had without it.
        Err(_) => match app.load(id).await {
            Ok(report) => report.map(Json).ok_or(StatusCode::NOT_FOUND),
            Err(_) => Err(StatusCode::BAD_GATEWAY),
        },
    }
}

/// After what the report is made of has changed: the next one who asks has a new one.
async fn changed(State(app): State<App>, Path(id): Path<u32>) -> Result<StatusCode, StatusCode> {
    app.cache.delete(key(id)).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(StatusCode::NO_CONTENT)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::from_env_or_start(Settings::for_tests())?;
    let database = Database::create(&server).await?;
    let mgr = PgQueue::new(database.pool().await?);
    mgr.migrate().await?;

    // Up to 64 MiB in memory, nothing of which is shown for longer than five seconds after somebody changed it.
    let cache = mgr.cache.namespace("reports")?.with_local_tier(LocalTier::new(64 << 20, Duration::from_secs(5)));
    let app = App { cache, loads: Arc::default() };
    let loads = Arc::clone(&app.loads);
    let router = Router::new().route("/reports/{id}", get(report).post(changed)).with_state(app);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });

    // What browsers do.
    let ask = async move |method: &str, id: u32| -> anyhow::Result<String> {
        let mut page = TcpStream::connect(address).await?;
        let request = format!("{method} /reports/{id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        page.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        page.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let mut browsers = JoinSet::new();
    for _ in 0..50 {
        browsers.spawn(async move { ask("GET", 7).await });
    }
    while let Some(answer) = browsers.join_next().await {
        anyhow::ensure!(answer??.ends_with("{\"id\":7,\"version\":1}"));
    }
    println!("50 requests, {} load(s)", loads.load(Ordering::Relaxed));
    anyhow::ensure!(loads.load(Ordering::Relaxed) == 1);

    anyhow::ensure!(ask("POST", 7).await?.starts_with("HTTP/1.1 204"));
    let answer = ask("GET", 7).await?;
    println!("after a change: {}", answer.lines().last().unwrap_or_default());
    anyhow::ensure!(answer.ends_with("{\"id\":7,\"version\":2}"));

    for _ in 0..3 {
        anyhow::ensure!(ask("GET", 1000).await?.starts_with("HTTP/1.1 404"));
    }
    println!(
        "none asked for three times, {} loads in all; {:?}",
        loads.load(Ordering::Relaxed),
        mgr.cache.statistics()
    );
    anyhow::ensure!(loads.load(Ordering::Relaxed) == 3);
    Ok(())
}
