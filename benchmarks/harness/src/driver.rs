//! The program around a contestant.

use std::{env, process::ExitCode, thread};

use anyhow::{Context, Result, bail};
use tokio::{runtime::Runtime, sync::oneshot};

use crate::{Contestant, Messenger, Params, bulk, hand, orders, produce, topics, work};

/// What the program of a contestant does.
///
/// ```no_run
/// # use bench_harness::{About, Contestant, Params, Payload};
/// # struct Queue;
/// # impl Contestant for Queue {
/// #     type Taken = ();
/// #     fn about() -> About { About::default() }
/// #     async fn setup(_: &str, _: &Params) -> anyhow::Result<()> { Ok(()) }
/// #     async fn open(_: &str, _: usize, _: &Params) -> anyhow::Result<Self> { Ok(Queue) }
/// #     async fn enqueue(&self, _: usize, _: Payload) -> anyhow::Result<()> { Ok(()) }
/// #     async fn work(_: &str, _: &Params) -> anyhow::Result<()> { Ok(()) }
/// #     async fn unfinished(&self) -> anyhow::Result<u64> { Ok(0) }
/// # }
/// fn main() -> std::process::ExitCode {
///     bench_harness::main::<Queue>()
/// }
/// ```
pub fn main<C: Contestant>() -> ExitCode {
    start(async {
        match Command::read()? {
            Command::About => orders::say(&C::about()),
            Command::Work { name, url, params } => run::<C>(&name, url, params).await,
        }
    })
}

/// What the program of one does that carries messages, and is no queue.
pub fn main_of_messenger<M: Messenger>() -> ExitCode {
    start(async {
        match Command::read()? {
            Command::About => orders::say(&M::about()),
            Command::Work { name, url, params } if name == "setup" => {
                M::setup(&url, &params).await?;
                orders::say(&serde_json::json!({}))
            }
            Command::Work { name, url, params } => match topics::run::<M>(&name, &url, &params).await {
                Some(done) => done,
                None => bail!("it carries messages, and has no command {name:?}"),
            },
        }
    })
}

/// What the program of one does that is a queue and carries messages as well. The queue's tables are made for both.
pub fn main_of_both<C: Contestant, M: Messenger>() -> ExitCode {
    start(async {
        match Command::read()? {
            Command::About => orders::say(&[C::about(), M::about()]),
            Command::Work { name, url, params } => match topics::run::<M>(&name, &url, &params).await {
                Some(done) => done,
                None => run::<C>(&name, url, params).await,
            },
        }
    })
}

fn start(work: impl Future<Output = Result<()>>) -> ExitCode {
    let done = Runtime::new().context("no runtime").and_then(|runtime| {
        let done = runtime.block_on(work);
        // Workers are not waited for: what they have done has been counted.
        runtime.shutdown_background();
        done
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The runner reads this, whatever it waits for.
            let _ = orders::say(&serde_json::json!({ "error": format!("{error:#}") }));
            ExitCode::FAILURE
        }
    }
}

/// What the program was started for.
enum Command {
    About,
    Work { name: String, url: String, params: Params },
}

impl Command {
    fn read() -> Result<Self> {
        let mut arguments = env::args().skip(1);
        let name = arguments.next().context("which command?")?;
        if name == "about" {
            return Ok(Self::About);
        }
        let url = arguments.next().context("which server?")?;
        Ok(Self::Work { name, url, params: Params::parse(arguments)? })
    }
}

async fn run<C: Contestant>(command: &str, url: String, params: Params) -> Result<()> {
    if params.get("queues", 1)? > 1 && !C::QUEUES {
        bail!("it is not driven with several queues here");
    }
    match command {
        "setup" => {
            apart(move || async move { C::setup(&url, &params).await }).await?;
            orders::say(&serde_json::json!({}))
        }
        "preload" => bulk::preload::<C>(url, params).await,
        "count" => {
            let queue = open::<C>(&url, 1, &params).await?;
            orders::say(&serde_json::json!({ "unfinished": queue.unfinished().await? }))
        }
        "bulk" => bulk::run::<C>(url, params).await,
        "produce" => produce::run::<C>(url, params).await,
        "work" => work::run::<C>(url, params).await,
        "hand" => hand::run::<C>(url, params).await,
        _ => bail!("there is no command {command:?}"),
    }
}

pub(crate) async fn open<C: Contestant>(url: &str, tasks: usize, params: &Params) -> Result<C> {
    let (url, params) = (url.to_owned(), params.clone());
    apart(move || async move { C::open(&url, tasks, &params).await }).await
}

/// Awaits a future that may be bound to its thread on a thread of its own, as `#[tokio::main]` does.
pub(crate) async fn apart<T, F>(make: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let runtime = tokio::runtime::Handle::current();
    let (done, answer) = oneshot::channel();
    thread::spawn(move || {
        // Nobody waits for it any more when the program ends.
        let _ = done.send(runtime.block_on(make()));
    });
    answer.await.context("it panicked")?
}
