//! The servers of those who carry messages without PostgreSQL: started for one run each, in a private place, with their defaults.

use std::{
    env, fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::time::sleep;

/// How long a server may take to be there; they take a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether it is.
const LOOK: Duration = Duration::from_millis(10);

/// Runs a server until the end of standard input, which is a pipe whose other end only the runner holds: however the runner ends,
/// its server does, too.
const KEEPER: &str = r#""$@" </dev/null & server=$!; cat >/dev/null; kill -9 $server; wait $server"#;

/// Where programs are that are no user's business, and may not be on the path.
const ELSEWHERE: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Redis,
    Nats,
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Kind::Redis => "redis-server",
            Kind::Nats => "nats-server",
        }
    }

    /// Its executable. The error says that it is not on this machine.
    pub(crate) fn find(self) -> Result<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&path).chain(ELSEWHERE.map(PathBuf::from));
        let found = folders.map(|folder| folder.join(self.program())).find(|path| path.is_file());
        found.with_context(|| format!("there is no {} on this machine", self.program()))
    }

    /// Where there is a choice through a Unix socket, as everybody connects here.
    fn arguments(self, folder: &Path) -> Vec<String> {
        let folder = folder.display();
        let arguments = match self {
            Kind::Redis => format!("--port 0 --unixsocket {folder}/socket --dir {folder}"),
            // A free port, which it writes into a file.
            Kind::Nats => format!("--addr 127.0.0.1 --port -1 --ports_file_dir {folder}"),
        };
        arguments.split(' ').map(str::to_owned).collect()
    }

    /// The URL for its clients, once it is there.
    fn url(self, folder: &Path) -> Option<String> {
        match self {
            Kind::Redis => {
                let socket = folder.join("socket");
                UnixStream::connect(&socket).ok()?;
                Some(format!("redis+unix://{}", socket.display()))
            }
            Kind::Nats => {
                let files = fs::read_dir(folder).ok()?.flatten().map(|file| file.path());
                let file = files.into_iter().find(|path| path.extension().is_some_and(|it| it == "ports"))?;
                nats_url(&fs::read_to_string(file).ok()?)
            }
        }
    }
}

fn nats_url(ports: &str) -> Option<String> {
    let ports: Value = serde_json::from_str(ports).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

/// A server that runs for as long as this lives.
#[derive(Debug)]
pub(crate) struct Broker {
    keeper: Child,
    folder: PathBuf,
    url: String,
}

impl Broker {
    pub(crate) async fn start(kind: Kind) -> Result<Broker> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("bench-{}-{}-{}", process::id(), kind.program(), STARTED.fetch_add(1, Relaxed));
        let folder = env::temp_dir().join(name);
        fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(kind.find()?).args(kind.arguments(&folder));
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = keeper.spawn().with_context(|| format!("{} could not be started", kind.program()))?;
        let mut broker = Broker { keeper, folder, url: String::new() };
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(url) = kind.url(&broker.folder) {
                broker.url = url;
                return Ok(broker);
            }
            if Instant::now() >= until {
                bail!("{} was not there after {PATIENCE:?}", kind.program());
            }
            sleep(LOOK).await;
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The parent of the server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.keeper.id()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::nats_url;

    #[test]
    fn the_port_is_the_one_that_was_written() {
        let ports = r#"{"nats":["nats://127.0.0.1:4567"],"monitoring":[]}"#;
        assert_eq!(nats_url(ports).as_deref(), Some("nats://127.0.0.1:4567"));
        assert_eq!(nats_url("{"), None, "it is being written");
    }
}
