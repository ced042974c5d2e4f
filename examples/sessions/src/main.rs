//! Sessions of a web application, with axum: they live on as long as they are used, survive a crash of the server, and end on all
//! devices at once. Needs PostgreSQL's programs, or `DATABASE_URL`.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    routing::{get, post},
};
use pg_queue::{Allowed, Cache, Expiry, PgQueue};
use pg_queue_embedded::{Database, Server, Settings};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// So long without a request, and a session is over.
const IDLE: Duration = Duration::from_secs(1800);

#[derive(Serialize, Deserialize)]
struct Session {
    user: String,
}

/// `sessions`, in the table that has a log.
#[derive(Clone)]
struct App {
    sessions: Cache,
}

type Answer<T> = Result<T, StatusCode>;

fn unavailable(_: impl std::error::Error) -> StatusCode {
    StatusCode::SERVICE_UNAVAILABLE
}

/// Five attempts a minute for each user, however many processes serve them.
async fn log_in(State(app): State<App>, Path(user): Path<String>) -> Answer<[(header::HeaderName, String); 1]> {
    let allowed = app.sessions.allow(&user, 5, Duration::from_secs(60)).await.map_err(unavailable)?;
    if let Allowed::After(_) = allowed {
        return Err(StatusCode::TOO_MANY_REQUESTS);
    }
    // Where the password would be checked.
    let id = format!("{:032x}", rand::random::<u128>());
    let session = Session { user: user.clone() };
    // The tag finds all sessions of a user.
    app.sessions.set_tagged(&id, &session, Expiry::sliding(IDLE), [&user]).await.map_err(unavailable)?;
    Ok([(header::SET_COOKIE, format!("session={id}; HttpOnly; Secure; SameSite=Lax"))])
}

/// The session of the request. To look it up lets it live on.
async fn session(app: &App, headers: &HeaderMap) -> Answer<Session> {
    let cookies = headers.get(header::COOKIE).and_then(|cookies| cookies.to_str().ok()).unwrap_or_default();
    let id = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session=")).ok_or(StatusCode::UNAUTHORIZED)?;
    app.sessions.get(id).await.map_err(unavailable)?.ok_or(StatusCode::UNAUTHORIZED)
}

async fn me(State(app): State<App>, headers: HeaderMap) -> Answer<Json<Session>> {
    session(&app, &headers).await.map(Json)
}

async fn log_out_everywhere(State(app): State<App>, headers: HeaderMap) -> Answer<String> {
    let Session { user } = session(&app, &headers).await?;
    let ended = app.sessions.delete_by_tag(&user).await.map_err(unavailable)?;
    Ok(format!("{ended} sessions ended"))
}

/// What a browser does.
async fn ask(address: SocketAddr, request: &str, cookie: &str) -> anyhow::Result<String> {
    let mut page = TcpStream::connect(address).await?;
    let request = format!("{request} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
    page.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    page.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn cookie(address: SocketAddr, user: &str) -> anyhow::Result<Option<String>> {
    let answer = ask(address, &format!("POST /login/{user}"), "").await?;
    let set = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    Ok(set.and_then(|set| set.split(';').next()).map(str::to_owned))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = Server::from_env_or_start(Settings::for_tests())?;
    let database = Database::create(&server).await?;
    let mgr = PgQueue::new(database.pool().await?);
    mgr.migrate().await?;

    let app = App { sessions: mgr.cache.namespace("sessions")?.durable() };
    let router = Router::new()
        .route("/login/{user}", post(log_in))
        .route("/me", get(me))
        .route("/logout-everywhere", post(log_out_everywhere))
        .with_state(app);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });

    let laptop = cookie(address, "ada").await?.unwrap_or_default();
    let phone = cookie(address, "ada").await?.unwrap_or_default();
    for device in [&laptop, &phone] {
        anyhow::ensure!(ask(address, "GET /me", device).await?.ends_with("{\"user\":\"ada\"}"));
    }
    anyhow::ensure!(ask(address, "GET /me", "session=guessed").await?.starts_with("HTTP/1.1 401"));

    let answer = ask(address, "POST /logout-everywhere", &laptop).await?;
    println!("{}", answer.lines().last().unwrap_or_default());
    anyhow::ensure!(answer.ends_with("2 sessions ended"));
    anyhow::ensure!(ask(address, "GET /me", &phone).await?.starts_with("HTTP/1.1 401"));

    let mut attempts = 2;
    while cookie(address, "ada").await?.is_some() {
        attempts += 1;
    }
    println!("{attempts} logins, then no more in this minute");
    anyhow::ensure!(attempts == 5);
    Ok(())
}
