//! A migrated database for each test, and ways to break the connection to it.

use std::{
    env,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use pg_queue_client::{Listener, PgQueue, PoppedJob, RecvError};
use pg_queue_core::{QueueName, migrate::MIGRATIONS};
use pg_queue_embedded::{Database, shared};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy, copy_bidirectional, sink},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// Longer than anything takes that works, also on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A handle on a database of the test's own, which is dropped at its end.
pub(crate) struct Db {
    pub(crate) mgr: PgQueue,
    pub(crate) pool: PgPool,
    pub(crate) database: Database,
}

/// How long a test of that which happens in time goes on: so many seconds, or what `PG_QUEUE_SOAK_SECONDS` says.
pub(crate) fn length(seconds: u64) -> Duration {
    let said = env::var("PG_QUEUE_SOAK_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
    Duration::from_secs(said.unwrap_or(seconds))
}

/// A database with all migrations in the schema `public`.
pub(crate) async fn database() -> Db {
    database_of(20).await
}

/// The same, with a pool of so many connections.
pub(crate) async fn database_of(connections: u32) -> Db {
    let mut hash = DefaultHasher::new();
    MIGRATIONS.iter().for_each(|migration| migration.checksum().hash(&mut hash));
    let name = format!("client_{:016x}", hash.finish());
    let database = Database::from_template(shared(), &name, async |pool| Ok(pg_queue_client::migrate(&pool).await?));
    Db::new(database.await.unwrap(), connections).await
}

/// A database without any migration.
pub(crate) async fn empty_database() -> Db {
    Db::new(Database::create(shared()).await.unwrap(), 5).await
}

impl Db {
    async fn new(database: Database, connections: u32) -> Self {
        let pool = database.pool_of(connections).await.unwrap();
        Self { mgr: handle(&database, &pool, connections), pool, database }
    }

    /// What another process would have: a handle that shares nothing with others but the database.
    pub(crate) fn elsewhere(&self) -> PgQueue {
        handle(&self.database, &self.pool, 20)
    }

    /// The queue of that name, made.
    pub(crate) async fn queue(&self, name: &str) -> QueueName {
        let queue = QueueName::new(name).unwrap();
        self.mgr.queue.create(&queue).await.unwrap();
        queue
    }

    /// A handle whose pool uses no connection twice: one that was opened in a runtime that has ended is of no use, but
    /// now and then passes the pool's test.
    pub(crate) fn without_reuse(&self) -> PgQueue {
        let never = PgPoolOptions::new().before_acquire(|_, _| Box::pin(async { Ok(false) }));
        PgQueue::new(never.connect_lazy_with(self.database.connect_options()))
    }

    /// A handle whose listener connects through this proxy.
    pub(crate) fn through(&self, proxy: &Proxy) -> PgQueue {
        PgQueue::builder().listener_url(&proxy.url).unwrap().build(self.pool.clone())
    }

    /// The number that a query answers.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.pool).await.unwrap()
    }

    /// Makes the clock of jobs show this from now on, and no other time.
    #[cfg(feature = "cron")]
    pub(crate) async fn set_clock(&self, time: &str) {
        let clock = format!(
            "create or replace function pg_queue_now() returns timestamptz language sql stable parallel safe
             as $$ select timestamptz '{time}' $$"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(clock)).execute(&self.pool).await.unwrap();
    }

    /// How many backends of this database listen, or have done nothing but that.
    pub(crate) async fn listening_backends(&self) -> i64 {
        self.count(LISTENING).await
    }

    /// Ends the backends that listen. Answers how many.
    pub(crate) async fn kill_listeners(&self) -> i64 {
        self.count(KILL).await
    }
}

/// A handle on this pool; when all tests are to work through a pooler, on another one that does.
fn handle(database: &Database, pool: &PgPool, connections: u32) -> PgQueue {
    #[cfg(unix)]
    if let Some(pooler) = pg_queue_embedded::shared_pooler() {
        let options = PgPoolOptions::new().max_connections(connections);
        let pool = options.connect_lazy(&pooler.url(database.name())).unwrap();
        return PgQueue::builder().transaction_pooler().listener_url(database.url()).unwrap().build(pool);
    }
    let _ = (database, connections);
    PgQueue::new(pool.clone())
}

const LISTENING: &str = "select count(*) from pg_stat_activity
    where datname = current_database() and (query ilike 'LISTEN%' or query like '-- A sign of life%' or query ilike 'UNLISTEN%')";
const KILL: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
    where datname = current_database() and (query ilike 'LISTEN%' or query like '-- A sign of life%' or query ilike 'UNLISTEN%')";

/// Waits until the condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let give_up = Instant::now() + LONG;
    while !condition().await {
        assert!(Instant::now() < give_up, "never came true: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// The next job of the queue, as soon as there is one that is due.
pub(crate) async fn next_job<T: serde::de::DeserializeOwned>(mgr: &PgQueue, queue: &QueueName) -> PoppedJob<T> {
    let give_up = Instant::now() + LONG;
    loop {
        if let Some(job) = mgr.queue.pop(queue).await.unwrap() {
            return job;
        }
        assert!(Instant::now() < give_up, "no job was ever due");
        sleep(Duration::from_millis(2)).await;
    }
}

/// The payload of the next notification, which must come.
pub(crate) async fn payload(listener: &mut Listener) -> Result<String, RecvError> {
    let received = listener.recv_timeout(LONG).await?;
    Ok(received.expect("a notification").payload)
}

/// A pool for an address at which nothing listens.
pub(crate) async fn pool_to_nowhere() -> PgPool {
    // Bound and freed again: nothing else has this port in the meantime.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    PgPoolOptions::new().connect_lazy(&format!("postgres://somebody:hush-hush@127.0.0.1:{port}/app")).unwrap()
}

/// What a [`Proxy`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Forwards.
    Open,
    /// Closes what is open, and does not listen: new connections are refused.
    Refusing,
}

/// Stands between a client and the server.
pub(crate) struct Proxy {
    /// The database's URL through the proxy.
    pub(crate) url: String,
    mode: watch::Sender<Mode>,
    /// Connections that were open when this number was counted up stop to forward; later ones work.
    frozen: watch::Sender<u64>,
    /// How many of those are still open.
    open: Arc<AtomicU32>,
}

#[derive(Clone)]
enum Target {
    Socket(PathBuf),
    Address(String),
}

impl Proxy {
    pub(crate) async fn start(database: &Database, mode: Mode) -> Self {
        let options = database.connect_options();
        let target = match options.get_socket() {
            Some(folder) => Target::Socket(folder.join(format!(".s.PGSQL.{}", options.get_port()))),
            None if options.get_host().starts_with('/') => {
                Target::Socket(Path::new(options.get_host()).join(format!(".s.PGSQL.{}", options.get_port())))
            }
            None => Target::Address(format!("{}:{}", options.get_host(), options.get_port())),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // Scheme, user and password as they were.
        let user = database.url().split_once('@').map_or("postgres://", |(user, _)| user);
        let url = format!("{user}@127.0.0.1:{port}/{}?sslmode=disable", database.name());
        let (mode, modes) = watch::channel(mode);
        let (frozen, freezes) = watch::channel(0);
        let open = Arc::<AtomicU32>::default();
        tokio::spawn(accept(listener, target, modes, freezes, Arc::clone(&open)));
        Self { url, mode, frozen, open }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// What is open now forwards nothing any more, and stays open.
    pub(crate) fn freeze(&self) {
        self.frozen.send_modify(|count| *count += 1);
    }

    /// How many connections are frozen, and were not closed by the client.
    pub(crate) fn frozen_open(&self) -> u32 {
        self.open.load(Ordering::SeqCst)
    }
}

async fn accept(
    listener: TcpListener,
    target: Target,
    mut mode: watch::Receiver<Mode>,
    frozen: watch::Receiver<u64>,
    still_open: Arc<AtomicU32>,
) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    let mut open = JoinSet::new();
    loop {
        let is_open = *mode.borrow_and_update() == Mode::Open;
        match (is_open, &listener) {
            (true, None) => listener = Some(TcpListener::bind(address).await.unwrap()),
            (false, _) => {
                listener = None;
                open.abort_all();
            }
            (true, Some(_)) => {}
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await.unwrap().0,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            client = accepted => {
                open.spawn(forward(client, target.clone(), frozen.clone(), Arc::clone(&still_open)));
            }
            changed = mode.changed() => if changed.is_err() { return },
        }
    }
}

async fn forward(
    client: TcpStream,
    target: Target,
    frozen: watch::Receiver<u64>,
    open: Arc<AtomicU32>,
) -> io::Result<()> {
    match target {
        Target::Socket(path) => pump(client, UnixStream::connect(path).await?, frozen, &open).await,
        Target::Address(address) => pump(client, TcpStream::connect(address).await?, frozen, &open).await,
    }
}

async fn pump<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: TcpStream,
    mut server: S,
    mut frozen: watch::Receiver<u64>,
    open: &AtomicU32,
) -> io::Result<()> {
    let began = *frozen.borrow();
    let freeze = async move { drop(frozen.wait_for(|count| *count > began).await) };
    tokio::select! {
        done = copy_bidirectional(&mut client, &mut server) => done.map(drop),
        () = freeze => {
            // The server's end is closed, so that its backend ends; the client's stays, until the client closes it.
            drop(server);
            open.fetch_add(1, Ordering::SeqCst);
            let closed = copy(&mut client, &mut sink()).await;
            open.fetch_sub(1, Ordering::SeqCst);
            closed.map(drop)
        }
    }
}
