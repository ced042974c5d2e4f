//! Requests that are called and answered by type.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pg_queue_client::CallError;
use pg_queue_core::{
    Inbox, PushOptions, QueueName, Request, RequestId, WorkerId,
    jobs::NewJob,
    workers::{self, Registration},
};
use pg_queue_worker::{Context, Responder, Worker, WorkerBuilder};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use crate::support::{Db, PATIENCE, Running, db, eventually, soon, start};

#[derive(Debug, Serialize, Deserialize, Request)]
#[request(crate = "pg_queue_core", queue = "asks", response = String, error = Refusal, timeout = "60s")]
struct Ask {
    what: What,
}

#[derive(Debug, Serialize, Deserialize)]
enum What {
    Echo(String),
    /// As many letters.
    Long(usize),
    Refuse(u8),
    Panic,
    /// Until the test lets it go on, or it is cancelled.
    Wait,
    /// Until the test lets it go on, or it is dropped.
    Hold,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Refusal(u8);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused for the reason {}", self.0)
    }
}

/// The same kind as another version of the caller has it.
#[derive(Debug, Serialize, Deserialize, Request)]
#[request(crate = "pg_queue_core", kind = "ask", queue = "asks", response = u8, error = Refusal)]
struct OtherAsk {
    what: What,
}

#[derive(Debug, Serialize, Deserialize, Request)]
#[request(crate = "pg_queue_core", kind = "ask", queue = "asks", response = String)]
struct WrongAsk(u8);

#[derive(Debug, Serialize, Deserialize, Request)]
#[request(crate = "pg_queue_core", queue = "asks", response = u8)]
struct Divide(u8, u8);

/// What responders tell of.
#[derive(Debug, PartialEq)]
enum Sign {
    Began(u16),
    Cancelled,
    Dropped,
}

#[derive(Clone)]
struct Service {
    signs: mpsc::UnboundedSender<Sign>,
    go: Arc<Semaphore>,
}

struct TellsOfItsEnd(mpsc::UnboundedSender<Sign>);

impl Drop for TellsOfItsEnd {
    fn drop(&mut self) {
        drop(self.0.send(Sign::Dropped));
    }
}

impl Responder<Service> for Ask {
    async fn respond(self, ctx: Context<Service>) -> Result<String, Refusal> {
        match self.what {
            What::Echo(text) => Ok(text),
            What::Long(length) => Ok("x".repeat(length)),
            What::Refuse(why) => Err(Refusal(why)),
            What::Panic => panic!("as it was asked to"),
            What::Hold => {
                ctx.state().signs.send(Sign::Began(ctx.attempt())).unwrap();
                ctx.state().go.acquire().await.unwrap().forget();
                Ok(String::new())
            }
            What::Wait => {
                let _end = TellsOfItsEnd(ctx.state().signs.clone());
                ctx.state().signs.send(Sign::Began(ctx.attempt())).unwrap();
                tokio::select! {
                    permit = ctx.state().go.acquire() => permit.unwrap().forget(),
                    () = ctx.cancelled() => {
                        ctx.state().signs.send(Sign::Cancelled).unwrap();
                        return Err(Refusal(255));
                    }
                }
                let left = ctx.deadline().expect("somebody waits").saturating_duration_since(Instant::now());
                Ok(left.as_secs().to_string())
            }
        }
    }
}

impl Responder<Service> for Divide {
    async fn respond(self, _: Context<Service>) -> Result<u8, pg_queue_core::Failed> {
        Ok(self.0.checked_div(self.1).ok_or("divided by zero")?)
    }
}

struct World {
    db: Db,
    signs: mpsc::UnboundedReceiver<Sign>,
    service: Service,
}

impl World {
    async fn new() -> Self {
        let (sender, signs) = mpsc::unbounded_channel();
        Self { db: db().await, signs, service: Service { signs: sender, go: Arc::new(Semaphore::new(0)) } }
    }

    fn start(&self) -> Running {
        self.start_as(|worker| worker)
    }

    fn start_as(&self, set: impl FnOnce(WorkerBuilder<Service>) -> WorkerBuilder<Service>) -> Running {
        let worker = Worker::builder().respond::<Ask>().respond::<Divide>().heartbeat(Duration::from_secs(1));
        let worker = set(worker.shutdown_timeout(PATIENCE));
        start(worker.build(&self.db.queue, self.service.clone()).unwrap())
    }

    /// Until a worker is there.
    async fn is_served(&self) {
        self.db
            .until("select exists (select from pg_queue_workers where 'ask' = any (kinds) and dead_at is null)")
            .await;
    }

    async fn ask(&self, what: What) -> Result<String, CallError<Refusal>> {
        soon(self.db.queue.call(&Ask { what }).into_future()).await
    }

    /// A call beside the test.
    fn asking(&self, what: What, attempts: u16) -> tokio::task::JoinHandle<Result<String, CallError<Refusal>>> {
        tokio::spawn(self.db.queue.call(&Ask { what }).max_attempts(attempts).into_future())
    }

    async fn sign(&mut self) -> Sign {
        soon(self.signs.recv()).await.unwrap()
    }

    async fn nothing_is_left(&self) {
        for table in ["queue_asks", "pg_queue_replies", "pg_queue_history"] {
            let count = format!("select count(*) from {table}");
            eventually(&format!("nothing is left in {table}"), async || self.db.get::<i64>(&count).await == 0).await;
        }
    }
}

#[tokio::test]
async fn a_call_is_answered_by_type_through_a_queue_that_the_responder_makes() {
    let world = World::new().await;
    let worker = world.start();
    world.is_served().await;
    for n in 0..20 {
        assert_eq!(world.ask(What::Echo(format!("a \"{n}\" \u{0} ö"))).await.unwrap(), format!("a \"{n}\" \u{0} ö"));
    }
    assert_eq!(
        world.db.get::<String>("select relpersistence::text from pg_class where relname = 'queue_asks'").await,
        "u"
    );
    world.nothing_is_left().await;
    let summary = worker.stop().await;
    assert_eq!((summary.completed, summary.expired, summary.lost_leases), (20, 0, 0));
}

#[tokio::test]
async fn errors_of_the_responder_come_as_they_are() {
    let world = World::new().await;
    let worker = world.start();
    world.is_served().await;
    assert!(matches!(world.ask(What::Refuse(7)).await, Err(CallError::App(Refusal(7)))));
    assert_eq!(world.db.queue.call(&Divide(6, 3)).await.unwrap(), 2);
    let error = world.db.queue.call(&Divide(6, 0)).await.unwrap_err();
    assert!(matches!(&error, CallError::App(failed) if failed.message() == "divided by zero"), "{error}");
    assert_eq!(error.to_string(), "divided by zero");
    world.nothing_is_left().await;
    worker.stop().await;
}

#[tokio::test]
async fn what_goes_wrong_with_a_responder_is_an_error_of_its_own_and_harms_nobody_else() {
    let world = World::new().await;
    let worker = world.start();
    world.is_served().await;
    let error = world.ask(What::Panic).await.unwrap_err();
    assert!(matches!(&error, CallError::Panicked { message } if message == "as it was asked to"), "{error}");
    let error = world.db.queue.call(&WrongAsk(1)).await.unwrap_err();
    assert!(matches!(&error, CallError::Undecodable { message } if message.contains("expected struct Ask")), "{error}");
    let error = world.db.queue.call(&OtherAsk { what: What::Echo("no number".to_owned()) }).await.unwrap_err();
    assert!(matches!(&error, CallError::Decode { .. }), "{error}");
    let error = world.ask(What::Long(16 << 20)).await.unwrap_err();
    assert!(matches!(&error, CallError::Interrupted { message } if message.contains("16 MiB")), "{error}");
    assert_eq!(world.ask(What::Echo("well".to_owned())).await.unwrap(), "well");
    world.nothing_is_left().await;
    worker.stop().await;
}

#[tokio::test]
async fn long_responses_arrive_whole() {
    let world = World::new().await;
    let worker = world.start();
    world.is_served().await;
    for length in [7_000, 7_498, 7_499, 8_000, 1 << 20, (16 << 20) - 2] {
        assert_eq!(world.ask(What::Long(length)).await.unwrap().len(), length);
    }
    world.nothing_is_left().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_call_that_nobody_responds_to_says_so_soon() {
    let world = World::new().await;
    let began = Instant::now();
    let kind = |error: &CallError<Refusal>| matches!(error, CallError::NoResponder { kind, .. } if kind == "ask");
    // Without a queue, and with one.
    for _ in 0..2 {
        let error = world.ask(What::Panic).await.unwrap_err();
        assert!(kind(&error), "{error}");
        world.db.queue.queue.create_unlogged(&QueueName::new("asks").unwrap()).await.unwrap();
    }
    // With a worker for other kinds.
    let other = Worker::builder().respond::<Divide>().build(&world.db.queue, world.service.clone()).unwrap();
    let other = start(other);
    world.db.until("select exists (select from pg_queue_workers)").await;
    let error = world.ask(What::Panic).await.unwrap_err();
    assert!(kind(&error), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    other.stop().await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_call_waits_for_a_responder_as_long_as_it_is_told_to() {
    let world = World::new().await;
    world.db.queue.queue.create_unlogged(&QueueName::new("asks").unwrap()).await.unwrap();
    let call = world.db.queue.call(&Ask { what: What::Echo("late".to_owned()) }).no_responder_after(PATIENCE);
    let call = tokio::spawn(call.into_future());
    world.db.until("select exists (select from queue_asks)").await;
    let worker = world.start();
    assert_eq!(soon(call).await.unwrap().unwrap(), "late");
    worker.stop().await;
}

/// Which the responder makes.
#[tokio::test]
async fn a_call_waits_for_its_queue_as_well() {
    let world = World::new().await;
    let call = world.db.queue.call(&Ask { what: What::Echo("first".to_owned()) }).timeout(PATIENCE);
    let call = tokio::spawn(call.no_responder_after(PATIENCE).into_future());
    let worker = world.start();
    assert_eq!(soon(call).await.unwrap().unwrap(), "first");
    worker.stop().await;
}

/// Nobody is left who could declare it dead.
#[tokio::test]
async fn a_call_whose_only_responder_was_killed_says_so_before_its_time_is_up() {
    let world = World::new().await;
    let asks = QueueName::new("asks").unwrap();
    world.db.queue.queue.create_unlogged(&asks).await.unwrap();
    let killed = Registration {
        id: WorkerId::random(),
        name: "killed".to_owned(),
        queues: vec![asks],
        kinds: vec!["ask".to_owned()],
        beat_interval: Duration::from_millis(500),
    };
    workers::register(&world.db.pool, world.db.queue.schema(), &killed).await.unwrap();
    // The second one finds out by what was seen for the first.
    for _ in 0..2 {
        let error = world.ask(What::Panic).await.unwrap_err();
        assert!(matches!(error, CallError::NoResponder { .. }), "{error}");
    }
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_responder_that_has_no_time_is_not_taken_for_a_dead_one() {
    let mut world = World::new().await;
    let worker = world.start_as(|worker| worker.concurrency(1));
    world.is_served().await;
    let first = world.asking(What::Hold, 1);
    assert_eq!(world.sign().await, Sign::Began(1));
    let second = world.asking(What::Echo("at last".to_owned()), 1);
    world.db.until("select beat > 5 from pg_queue_workers").await;
    assert!(!second.is_finished());
    world.service.go.add_permits(1);
    soon(first).await.unwrap().unwrap();
    assert_eq!(soon(second).await.unwrap().unwrap(), "at last");
    worker.stop().await;
}

/// A worker to which jobs come often looks every few milliseconds, and a caller who waits for each answer would feel it.
#[tokio::test]
async fn a_responder_is_woken_for_each_call_of_a_lone_caller_however_often_it_calls() {
    let world = World::new().await;
    let worker = world.start();
    world.is_served().await;
    // At first it is said again, when the worker begins to hear.
    for n in 0..50 {
        world.ask(What::Echo(n.to_string())).await.unwrap();
    }
    let began = "select xmin::text from pg_queue_waiters";
    let wish = world.db.get::<String>(began).await;
    for n in 0..300 {
        world.ask(What::Echo(n.to_string())).await.unwrap();
    }
    assert_eq!(world.db.get::<String>(began).await, wish, "the wish to be woken was taken back and said again");
    worker.stop().await;
}

#[tokio::test]
async fn a_responder_knows_how_long_its_caller_waits() {
    let mut world = World::new().await;
    let worker = world.start();
    world.is_served().await;
    let call = world.db.queue.call(&Ask { what: What::Wait }).timeout(Duration::from_secs(1000));
    let call = tokio::spawn(call.into_future());
    assert_eq!(world.sign().await, Sign::Began(1));
    world.service.go.add_permits(1);
    let left: u64 = soon(call).await.unwrap().unwrap().parse().unwrap();
    assert!((900..1000).contains(&left), "{left}");
    worker.stop().await;
}

#[tokio::test]
async fn a_responder_is_cancelled_at_the_deadline_and_its_caller_does_not_wait_for_it() {
    let mut world = World::new().await;
    let worker = world.start();
    world.is_served().await;
    let began = Instant::now();
    let call = world.db.queue.call(&Ask { what: What::Wait }).timeout(Duration::from_millis(500));
    let error = soon(call.into_future()).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for sign in [Sign::Began(1), Sign::Cancelled, Sign::Dropped] {
        assert_eq!(world.sign().await, sign);
    }
    world.nothing_is_left().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_its_responder() {
    let mut world = World::new().await;
    let worker = world.start();
    world.is_served().await;
    let call = world.asking(What::Wait, 1);
    assert_eq!(world.sign().await, Sign::Began(1));
    call.abort();
    assert_eq!(world.sign().await, Sign::Cancelled);
    world.nothing_is_left().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_request_that_is_too_late_is_not_begun() {
    let world = World::new().await;
    let asks = QueueName::new("asks").unwrap();
    world.db.queue.queue.create_unlogged(&asks).await.unwrap();
    // As a process leaves it that was killed.
    let mut job = NewJob::new("ask", &Ask { what: What::Wait }).unwrap();
    job.options = PushOptions::default().timeout(Duration::from_millis(1));
    job.request_id = Some(RequestId::random(Inbox::random()));
    world.db.queue.queue.push_jobs(&asks, vec![job]).await.unwrap();
    world.db.until("select created_at + interval '10 ms' < now() from queue_asks").await;
    let worker = world.start();
    world.nothing_is_left().await;
    let summary = worker.stop().await;
    assert_eq!((summary.expired, summary.completed), (1, 0));
}

#[tokio::test]
async fn a_job_of_a_kind_that_has_a_responder_is_discarded_with_the_reason() {
    let world = World::new().await;
    let worker = world.start();
    world.is_served().await;
    let asks = QueueName::new("asks").unwrap();
    let job = NewJob::new("ask", &Ask { what: What::Panic }).unwrap();
    world.db.queue.queue.push_jobs(&asks, vec![job]).await.unwrap();
    world.db.until("select exists (select from pg_queue_history where state = 'discarded')").await;
    let errors = world.db.errors("pg_queue_history").await;
    assert!(errors[0].contains("the job is no request"), "{errors:?}");
    assert_eq!(world.ask(What::Echo("well".to_owned())).await.unwrap(), "well");
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_shuts_down_answers_what_it_has_begun() {
    let mut world = World::new().await;
    let worker = world.start();
    world.is_served().await;
    let call = world.asking(What::Wait, 1);
    assert_eq!(world.sign().await, Sign::Began(1));
    worker.signal();
    world.service.go.add_permits(1);
    soon(call).await.unwrap().unwrap();
    worker.ended().await;
    world.nothing_is_left().await;
}

#[tokio::test]
async fn a_request_whose_worker_is_shut_down_in_the_middle_is_not_tried_twice_unless_that_is_asked_for() {
    let mut world = World::new().await;
    let hasty = |worker: WorkerBuilder<Service>| worker.shutdown_timeout(Duration::ZERO).cancel_grace(Duration::ZERO);
    let first = world.start_as(hasty);
    world.is_served().await;
    let (once, twice) = (world.asking(What::Hold, 1), world.asking(What::Hold, 2));
    assert_eq!((world.sign().await, world.sign().await), (Sign::Began(1), Sign::Began(1)));
    let second = world.start();
    world.db.until("select count(*) = 2 from pg_queue_workers").await;
    first.stop().await;
    let error = soon(once).await.unwrap().unwrap_err();
    assert!(matches!(&error, CallError::Interrupted { message } if message.contains("shut down")), "{error}");
    assert_eq!(world.sign().await, Sign::Began(1));
    world.service.go.add_permits(1);
    soon(twice).await.unwrap().unwrap();
    world.nothing_is_left().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_callers_of_one_process_share_a_listener_and_get_their_own_answers() {
    let world = World::new().await;
    let workers = [world.start(), world.start(), world.start()];
    world.db.until("select count(*) = 3 from pg_queue_workers").await;
    let mut callers = JoinSet::new();
    for n in 0..1000 {
        let queue = world.db.queue.clone();
        callers.spawn(async move {
            for call in 0..3 {
                let text = format!("{n}-{call}");
                assert_eq!(queue.call(&Ask { what: What::Echo(text.clone()) }).await.unwrap(), text);
            }
        });
    }
    soon(callers.join_all()).await;
    let listening = "select count(*) from pg_stat_activity
        where datname = current_database() and (query ilike 'LISTEN%' or query like '-- A sign of life%')";
    assert_eq!(world.db.get::<i64>(listening).await, 1);
    world.nothing_is_left().await;
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_are_dropped_in_mid_flight_leave_nothing_behind() {
    let world = World::new().await;
    let worker = world.start();
    world.is_served().await;
    let mut callers = JoinSet::new();
    for n in 0..1000 {
        let what = if n % 10 == 0 { What::Wait } else { What::Echo(n.to_string()) };
        callers.spawn(world.db.queue.call(&Ask { what }).into_future());
    }
    // In all states: not pushed, waiting, running, answered.
    drop(callers.join_next().await);
    drop(callers);
    world.nothing_is_left().await;
    assert_eq!(world.ask(What::Echo("well".to_owned())).await.unwrap(), "well");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_call_ends_while_listeners_are_killed_again_and_again() {
    let world = World::new().await;
    let worker = world.start();
    world.is_served().await;
    let mut callers = JoinSet::new();
    for n in 0..8 {
        let queue = world.db.queue.clone();
        callers.spawn(async move {
            for call in 0..100 {
                let text = format!("{n}-{call}");
                assert_eq!(queue.call(&Ask { what: What::Echo(text.clone()) }).await.unwrap(), text);
            }
        });
    }
    let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and (query ilike 'LISTEN%' or query like '-- A sign of life%')";
    let mut killed = 0;
    eventually("all callers are done", async || {
        while callers.try_join_next().map(Result::unwrap).is_some() {}
        killed += world.db.get::<i64>(kill).await;
        callers.is_empty()
    })
    .await;
    assert!(killed > 0);
    world.nothing_is_left().await;
    worker.stop().await;
}
