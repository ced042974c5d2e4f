//! A network of its own between each worker and the server, which can fail without telling anybody.

use std::{
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use pg_queue_embedded::Database;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// What becomes of what is sent while the network is cut. Neither side hears of it, and new connections get no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// It arrives when the network is there again, as when a packet is sent once more: a commit from before the cut
    /// reaches a server to which its worker is dead.
    Held,
    /// It is lost, and what it was a part of is closed when the network is there again.
    Lost,
}

/// Closed when this is dropped, with all that runs through it.
#[derive(Debug)]
pub(super) struct Proxy {
    port: u16,
    cut: watch::Sender<Option<Loss>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn start(target: &Target) -> Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port to listen on")?;
        let port = listener.local_addr()?.port();
        let (cut, is_cut) = watch::channel(None);
        let accepting = tokio::spawn(accept(listener, target.clone(), is_cut));
        Ok(Proxy { port, cut, accepting })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn cut(&self, loss: Loss) {
        self.cut.send_replace(Some(loss));
    }

    pub(super) fn heal(&self) {
        self.cut.send_replace(None);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Where the server is.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Socket(PathBuf),
    Address(String, u16),
}

impl Target {
    pub(super) fn of(database: &Database) -> Target {
        let options = database.connect_options();
        let port = options.get_port();
        let socket = |folder: &Path| Target::Socket(folder.join(format!(".s.PGSQL.{port}")));
        match (options.get_socket(), options.get_host()) {
            (Some(folder), _) => socket(folder),
            (None, host) if host.starts_with('/') => socket(Path::new(host)),
            (None, host) => Target::Address(host.to_owned(), port),
        }
    }

    /// A database's URL with another address in it. A server on a socket has no TLS.
    pub(super) fn url_through(&self, url: &str, port: u16) -> String {
        let (start, rest) = url.split_once("://").unwrap_or(("postgres", url));
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let user = authority.rfind('@').map_or("", |end| &authority[..=end]);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let is_address = |part: &str| ["host=", "hostaddr=", "port="].iter().any(|name| part.starts_with(name));
        let mut query: Vec<&str> = query.split('&').filter(|part| !part.is_empty() && !is_address(part)).collect();
        if matches!(self, Target::Socket(_)) {
            query.retain(|part| !part.starts_with("sslmode="));
            query.push("sslmode=disable");
        }
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{start}://{user}127.0.0.1:{port}{path}{mark}{}", query.join("&"))
    }
}

/// The connections end with this task: their tasks are its own.
async fn accept(listener: TcpListener, target: Target, is_cut: watch::Receiver<Option<Loss>>) {
    let mut open = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    open.spawn(forward(client, target.clone(), is_cut.clone()));
                }
            }
            Some(_) = open.join_next() => {}
        }
    }
}

async fn forward(client: TcpStream, target: Target, mut is_cut: watch::Receiver<Option<Loss>>) -> io::Result<()> {
    client.set_nodelay(true)?;
    mended(&mut is_cut).await;
    match target {
        Target::Socket(path) => join(client, UnixStream::connect(path).await?, is_cut).await,
        Target::Address(host, port) => {
            let server = TcpStream::connect((host, port)).await?;
            server.set_nodelay(true)?;
            join(client, server, is_cut).await
        }
    }
}

/// An error in one direction closes both.
async fn join(
    client: TcpStream,
    server: impl AsyncRead + AsyncWrite,
    is_cut: watch::Receiver<Option<Loss>>,
) -> io::Result<()> {
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    tokio::try_join!(pump(from_client, to_server, is_cut.clone()), pump(from_server, to_client, is_cut)).map(drop)
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut is_cut: watch::Receiver<Option<Loss>>,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        // The end of a connection is news as well.
        let length = from.read(&mut bytes).await?;
        let loss = *is_cut.borrow_and_update();
        if loss.is_some() {
            mended(&mut is_cut).await;
        }
        if loss == Some(Loss::Lost) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&bytes[..length]).await?;
    }
}

/// Resolves when the network is there. When its proxy is gone, it does not matter any more.
async fn mended(is_cut: &mut watch::Receiver<Option<Loss>>) {
    let _ = is_cut.wait_for(Option::is_none).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pg_queue_embedded::{Database, shared};
    use sqlx::{Connection, PgConnection};
    use tokio::time::timeout;

    use super::{Loss, Proxy, Target};

    /// Far longer than an answer takes that comes.
    const MOMENT: Duration = Duration::from_millis(300);

    async fn one(connection: &mut PgConnection) -> sqlx::Result<i32> {
        sqlx::query_scalar("select 1").fetch_one(connection).await
    }

    #[test]
    fn a_url_leads_through_the_proxy_whatever_it_looks_like() {
        let socket = Target::Socket("/run/.s.PGSQL.5432".into());
        let address = Target::Address("db".to_owned(), 5432);
        for (target, url, expected) in [
            (&socket, "postgres://u@%2Frun:5432/d?sslmode=prefer", "postgres://u@127.0.0.1:7/d?sslmode=disable"),
            (&socket, "postgres:///d?host=/run", "postgres://127.0.0.1:7/d?sslmode=disable"),
            (
                &address,
                "postgres://u:p%40s@db:5432/d?sslmode=require",
                "postgres://u:p%40s@127.0.0.1:7/d?sslmode=require",
            ),
            (&address, "postgres://u:p@db/d", "postgres://u:p@127.0.0.1:7/d"),
        ] {
            assert_eq!(target.url_through(url, 7), expected);
        }
    }

    #[tokio::test]
    async fn what_is_sent_during_a_cut_arrives_late_or_never() -> anyhow::Result<()> {
        let database = Database::create(shared()).await?;
        let target = Target::of(&database);
        let proxy = Proxy::start(&target).await?;
        let url = target.url_through(database.url(), proxy.port());
        let mut connection = PgConnection::connect(&url).await?;
        assert_eq!(one(&mut connection).await?, 1);

        proxy.cut(Loss::Held);
        {
            let mut asked = std::pin::pin!(one(&mut connection));
            assert!(timeout(MOMENT, asked.as_mut()).await.is_err(), "nobody answers");
            let mut connecting = std::pin::pin!(PgConnection::connect(&url));
            assert!(timeout(MOMENT, connecting.as_mut()).await.is_err(), "nor to a new one");
            proxy.heal();
            assert_eq!(asked.await?, 1);
            assert_eq!(one(&mut connecting.await?).await?, 1);
        }
        let mut idle = PgConnection::connect(&url).await?;

        proxy.cut(Loss::Lost);
        let mut asked = std::pin::pin!(one(&mut connection));
        assert!(timeout(MOMENT, asked.as_mut()).await.is_err(), "nobody answers");
        proxy.heal();
        assert!(asked.await.is_err(), "and nobody ever will");
        assert_eq!(one(&mut idle).await?, 1, "nothing was lost of this one");
        Ok(())
    }
}
