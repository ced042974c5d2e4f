//! Reaching a database, or saying at once what stands in the way.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use pg_queue::{DatabaseError, Schema};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{runtime, time::timeout};

/// A host that drops packets would otherwise keep us for two minutes.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Runs what talks to a database.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    // Looking up a host's name cannot be cancelled: do not wait for it once its time is over.
    runtime.shutdown_background();
    done
}

/// Without a pool: that would try again for 30 seconds where a single connection is refused at once.
pub(crate) async fn connect(url: Option<&str>) -> Result<PgConnection> {
    let options = parse(url)?;
    let host = options.get_socket().map_or(options.get_host().into(), |socket| socket.to_string_lossy());
    let server = format!("{host}:{}", options.get_port());
    match timeout(CONNECT_LIMIT, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(sqlx::Error::Tls(error))) => bail!(
            "no TLS with {server} ({error}): check the certificate, or add `?sslmode=disable` to the URL if the \
             connection need not be encrypted"
        ),
        Ok(Err(sqlx::Error::Protocol(error))) => {
            bail!("what answers at {server} is no PostgreSQL server ({error}): check host and port")
        }
        Ok(Err(error)) => {
            Err(DatabaseError::new(error, &Schema::default())).with_context(|| format!("no connection to {server}"))
        }
        Err(_) => bail!("no answer from {server} within 10 s: check host and port, and that no firewall is in between"),
    }
}

fn parse(url: Option<&str>) -> Result<PgConnectOptions> {
    const FORM: &str = "postgres://user:password@host:5432/database";
    let Some(url) = url.filter(|url| !url.is_empty()) else {
        bail!("which database? set DATABASE_URL or give --database-url, such as {FORM}");
    };
    // The parser does not look at the scheme.
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        bail!("the database URL does not begin with postgres:// or postgresql://: it looks like {FORM}");
    }
    url.parse().with_context(|| {
        format!("the database URL is not one; it looks like {FORM}, with %40 for an @ in the password")
    })
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::TcpListener, thread};

    use super::{block_on, connect};

    fn refusal(url: Option<&str>) -> String {
        let error = block_on(connect(url)).expect_err("there is no such server");
        format!("{error:#}")
    }

    #[test]
    fn a_url_that_is_missing_or_none_is_answered_with_the_form() {
        for url in [None, Some(""), Some("mysql://u:secret@h/d"), Some("postgres://u:secret@h:port/d")] {
            let refusal = refusal(url);
            assert!(refusal.contains("postgres://user:password@host"), "{refusal}");
            assert!(!refusal.contains("secret"), "{refusal}");
        }
    }

    #[test]
    fn a_server_of_another_kind_is_an_error_at_once() -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let answer = thread::spawn(move || listener.accept()?.0.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n"));
        let refusal = refusal(Some(&format!("postgres://u:secret@127.0.0.1:{port}/d")));
        assert!(refusal.contains("no PostgreSQL server"), "{refusal}");
        answer.join().expect("it does not panic")?;
        Ok(())
    }

    #[test]
    fn a_server_that_does_not_run_is_an_error_at_once() {
        // The discard port: nothing listens there.
        let refusal = refusal(Some("postgres://u:secret@127.0.0.1:9/d"));
        assert!(refusal.contains("127.0.0.1:9") && refusal.contains("running"), "{refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
    }
}
