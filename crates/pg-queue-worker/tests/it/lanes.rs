//! Several queues, and how they are treated while the worker runs.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use pg_queue_core::{Job, QueueName, jobs::NewJob};
use pg_queue_worker::{BuildError, Context, Handler, Outcome, QueueOptions, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::support::{App, Db, Ended, Task, db, soon, start, tasks, work, work_for};

async fn queue(db: &Db, name: &str) -> QueueName {
    let name = QueueName::new(name).unwrap();
    db.queue.queue.create(&name).await.unwrap();
    name
}

async fn fill(db: &Db, queue: &QueueName, jobs: i64) {
    let jobs = (0..jobs).map(|n| NewJob::new("task", &Task { n }).unwrap()).collect();
    db.queue.queue.push_jobs(queue, jobs).await.unwrap();
}

/// Counts how many jobs of each queue run at once, at most.
#[derive(Clone, Default)]
struct Most(Arc<Mutex<HashMap<String, (usize, usize)>>>);

impl Most {
    fn app(&self, work: Duration) -> App {
        let most = self.clone();
        App::new(move |_, ctx| {
            let most = most.clone();
            async move {
                let queue = ctx.job().queue().to_string();
                most.change(&queue, 1);
                work_for(work).await;
                most.change(&queue, -1);
                Ok(Outcome::Complete) as Ended
            }
        })
    }

    fn change(&self, queue: &str, by: isize) {
        let mut counts = self.0.lock().unwrap();
        let (running, most) = counts.entry(queue.to_owned()).or_default();
        *running = running.checked_add_signed(by).unwrap();
        *most = (*most).max(*running);
    }

    fn of(&self, queue: &str) -> usize {
        self.0.lock().unwrap().get(queue).map_or(0, |(_, most)| *most)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_runs_no_more_jobs_at_once_than_it_may_and_the_others_get_the_rest() {
    let db = db().await;
    let narrow = queue(&db, "narrow").await;
    fill(&db, &narrow, 30).await;
    fill(&db, &work(), 100).await;
    let most = Most::default();
    let worker = tasks().queue(QueueOptions::new(&narrow).concurrency(2)).concurrency(8);
    let worker = start(worker.build(&db.queue, most.app(Duration::from_millis(10))).unwrap());
    db.until("select count(*) = 0 from pg_queue_jobs").await;
    assert_eq!(worker.stop().await.completed, 130);
    assert_eq!(most.of("narrow"), 2);
    assert!(most.of("work") >= 6, "{}", most.of("work"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_at_once_can_be_changed_while_the_worker_runs() {
    let db = db().await;
    db.queue.queue.set_concurrency(&work(), Some(1)).await.unwrap();
    fill(&db, &work(), 20).await;
    let most = Most::default();
    let builder = tasks().heartbeat(Duration::from_secs(60)).concurrency(8);
    let worker = start(builder.build(&db.queue, most.app(Duration::from_millis(20))).unwrap());
    db.until("select count(*) < 15 from queue_work").await;
    assert_eq!(most.of("work"), 1, "what was set before the worker started counts from its first claim on");
    db.queue.queue.set_concurrency(&work(), None).await.unwrap();
    fill(&db, &work(), 100).await;
    let began = Instant::now();
    db.until("select count(*) = 0 from queue_work").await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(most.of("work"), 8);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_share_the_slots_by_weight_and_none_starves() {
    let db = db().await;
    let heavy = queue(&db, "heavy").await;
    let light = queue(&db, "light").await;
    fill(&db, &heavy, 1000).await;
    fill(&db, &light, 1000).await;
    let (sender, mut ran) = mpsc::unbounded_channel();
    let app = App::new(move |_, ctx| {
        sender.send(ctx.job().queue().to_string()).unwrap();
        async { Ok(Outcome::Complete) }
    });
    let worker = tasks().queue(QueueOptions::new(&heavy).weight(9)).queue(&light).concurrency(4);
    let worker = start(worker.build(&db.queue, app).unwrap());
    let mut first = HashMap::new();
    for _ in 0..500 {
        *first.entry(soon(ran.recv()).await.unwrap()).or_insert(0) += 1;
    }
    let light = first["light"];
    // Nine to one; a round asks each queue for one job at least.
    assert!((30..150).contains(&light), "{first:?}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_gives_no_job_and_a_resumed_one_gives_them_at_once() {
    let db = db().await;
    let other = queue(&db, "other").await;
    let (sender, mut ran) = mpsc::unbounded_channel();
    let workers = [(); 2].map(|()| {
        let sender = sender.clone();
        let app = App::new(move |_, ctx| {
            sender.send(ctx.job().queue().clone()).unwrap();
            async { Ok(Outcome::Complete) }
        });
        // Beats and polls that are far away: it is the notification that resumes.
        let builder = tasks().queue(&other).heartbeat(Duration::from_secs(60)).poll_interval(Duration::from_secs(60));
        start(builder.build(&db.queue, app).unwrap())
    });
    db.until("select count(distinct worker) = 2 from pg_queue_waiters").await;
    db.queue.queue.pause(&work()).await.unwrap();
    db.until("select count(*) = 0 from pg_queue_waiters where queue = 'work'").await;
    for n in 0..20 {
        db.push(n).await;
        Task { n }.enqueue(&db.queue).queue(&other).await.unwrap();
    }
    for _ in 0..20 {
        assert_eq!(soon(ran.recv()).await.unwrap(), other);
    }
    assert_eq!(db.get::<i64>("select count(*) from queue_work where attempt = 0").await, 20);
    let resumed = Instant::now();
    db.queue.queue.resume(&work()).await.unwrap();
    for _ in 0..20 {
        assert_eq!(soon(ran.recv()).await.unwrap(), work());
    }
    assert!(resumed.elapsed() < Duration::from_secs(2), "{:?}", resumed.elapsed());
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused() {
    let db = db().await;
    let build = |options| tasks().queue(options).build(&db.queue, App::new(|_, _| async { Ok(Outcome::Complete) }));
    let none = build(QueueOptions::new(&work()).concurrency(0)).unwrap_err();
    assert_eq!(none, BuildError::Concurrency(0));
    for weight in [0, 1001] {
        assert_eq!(build(QueueOptions::new(&work()).weight(weight)).unwrap_err(), BuildError::Weight(weight));
    }
    let grace = tasks().cancel_grace(Duration::from_secs(3601));
    let refused = grace.build(&db.queue, App::new(|_, _| async { Ok(Outcome::Complete) })).unwrap_err();
    assert!(refused.to_string().contains("cancel_grace"), "{refused}");
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "pg_queue_core", queue = "work")]
struct NewKind;

static NEW_ONES: AtomicUsize = AtomicUsize::new(0);

impl Handler<App> for NewKind {
    async fn run(self, _: Context<App>) -> Ended {
        NEW_ONES.fetch_add(1, SeqCst);
        Ok(Outcome::Complete)
    }
}

/// Old workers do not know a kind that new ones know: none of its jobs fails, and none of either kind waits for long.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_deployment_fails_and_starves_no_job() {
    let db = db().await;
    let ran = Arc::new(AtomicUsize::new(0));
    let app = || {
        let ran = ran.clone();
        App::new(move |_, _| {
            ran.fetch_add(1, SeqCst);
            async { Ok(Outcome::Complete) }
        })
    };
    let old =
        start(Worker::builder().register::<Task>().heartbeat(Duration::from_secs(1)).build(&db.queue, app()).unwrap());
    // Nobody knows the new kind yet: it is put aside, and what comes behind it runs.
    for _ in 0..500 {
        NewKind.enqueue(&db.queue).await.unwrap();
    }
    db.push_many(0..100).await;
    db.until("select count(*) = 0 from queue_work where kind = 'task'").await;
    db.until("select count(*) = 500 from queue_work where parked = 'kind'").await;
    // The deployment goes on: both are there.
    let builder = Worker::builder().register::<Task>().register::<NewKind>().heartbeat(Duration::from_secs(1));
    let new = start(builder.build(&db.queue, app()).unwrap());
    db.until("select count(*) = 0 from queue_work").await;
    for _ in 0..100 {
        NewKind.enqueue(&db.queue).await.unwrap();
    }
    db.push_many(100..200).await;
    db.until("select count(*) = 0 from queue_work").await;
    let old = old.stop().await;
    for _ in 0..100 {
        NewKind.enqueue(&db.queue).await.unwrap();
    }
    db.until("select count(*) = 0 from queue_work").await;
    let new = new.stop().await;
    assert_eq!((ran.load(SeqCst), NEW_ONES.load(SeqCst)), (200, 700));
    assert_eq!(old.completed + new.completed, 900);
    for summary in [old, new] {
        assert_eq!((summary.retried, summary.discarded, summary.lost_leases), (0, 0, 0));
    }
    assert_eq!(db.get::<i64>("select count(*) from pg_queue_history").await, 0);
}
