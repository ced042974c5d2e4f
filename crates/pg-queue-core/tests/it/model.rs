//! Random sequences of verbs on two connections, against a model in memory that says what each must answer and leave behind.

use std::collections::BTreeMap;

use pg_queue_core::{
    BEGIN_PINNED, JobId, JobState, LeaseToken, LeasedJobId, OnConflict, Priority, QueueTable, Unique, WorkerId,
    history::{self, Edit, FinishedState, HistoryFilter},
    jobs::{self, Became, Claimant, EndedAttempt, Ending, Kept, LeaseError, NewJob, PushOptions, PushOutcome},
    queues,
};
use proptest::{
    prelude::*,
    test_runner::{TestCaseError, TestError, TestRunner},
};
use sqlx::{Connection, PgConnection};

use crate::support::{Db, LONG, database};

/// What may happen. Jobs, leases and workers are chosen by number, counted round what there is.
#[derive(Debug, Clone)]
enum Verb {
    Push {
        key: Option<u8>,
        replace: bool,
        max_attempts: u16,
        priority: u8,
    },
    PushMany {
        keys: Vec<Option<u8>>,
        replace: bool,
    },
    /// By the first or the second worker or, for any other number, by hand.
    Claim {
        by: u8,
        limit: u32,
    },
    Complete {
        lease: usize,
        kept: bool,
    },
    CompleteIn {
        lease: usize,
        commit: bool,
    },
    End {
        lease: usize,
        ending: Ending,
    },
    /// The worker has died: its jobs are taken from it, and it goes on under another id.
    Rescue {
        worker: u8,
    },
    /// The leases of hand-driven consumers run out.
    Expire,
    DiscardExpired,
    Cancel {
        job: usize,
    },
    Hasten {
        job: usize,
    },
    Delete {
        job: usize,
    },
    Retry {
        job: usize,
    },
    Pause {
        paused: bool,
    },
}

fn verb() -> impl Strategy<Value = Verb> {
    let number = any::<usize>();
    let ending = prop_oneof![
        3 => Just(Ending::Retry(std::time::Duration::ZERO)),
        1 => Just(Ending::Discard),
        1 => Just(Ending::Cancel),
        2 => Just(Ending::Release(None)),
    ];
    let key = prop_oneof![Just(None), (0..3_u8).prop_map(Some)];
    prop_oneof![
        4 => (key.clone(), any::<bool>(), 1..4_u16, 0..10_u8).prop_map(|(key, replace, max_attempts, priority)| {
            Verb::Push { key, replace, max_attempts, priority }
        }),
        1 => (prop::collection::vec(key, 0..6), any::<bool>()).prop_map(|(keys, replace)| Verb::PushMany { keys, replace }),
        5 => (0..3_u8, 1..4_u32).prop_map(|(by, limit)| Verb::Claim { by, limit }),
        3 => (number, any::<bool>()).prop_map(|(lease, kept)| Verb::Complete { lease, kept }),
        1 => (number, any::<bool>()).prop_map(|(lease, commit)| Verb::CompleteIn { lease, commit }),
        4 => (number, ending).prop_map(|(lease, ending)| Verb::End { lease, ending }),
        1 => (0..2_u8).prop_map(|worker| Verb::Rescue { worker }),
        1 => Just(Verb::Expire),
        1 => Just(Verb::DiscardExpired),
        2 => number.prop_map(|job| Verb::Cancel { job }),
        1 => number.prop_map(|job| Verb::Hasten { job }),
        1 => number.prop_map(|job| Verb::Delete { job }),
        2 => number.prop_map(|job| Verb::Retry { job }),
        1 => any::<bool>().prop_map(|paused| Verb::Pause { paused }),
    ]
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Waiting,
    Leased { lease: LeasedJobId, by: Holder, cancelling: bool },
    Past(FinishedState),
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Worker(WorkerId),
    Hand { expired: bool },
}

#[derive(Debug, Clone)]
struct Job {
    place: Place,
    attempt: u16,
    max_attempts: u16,
    priority: u8,
    key: Option<u8>,
}

/// What is true.
struct Model {
    jobs: BTreeMap<JobId, Job>,
    /// Every lease that was ever given, stale ones included.
    leases: Vec<LeasedJobId>,
    workers: [WorkerId; 2],
    paused: bool,
}

type Checked = Result<(), TestCaseError>;

/// The model beside the database.
struct Both<'d> {
    db: &'d Db,
    table: QueueTable,
    model: Model,
}

impl Both<'_> {
    /// The job that is chosen by a number, if there is any.
    fn job(&self, number: usize) -> Option<JobId> {
        let count = self.model.jobs.len();
        self.model.jobs.keys().nth(number.checked_rem(count)?).copied()
    }

    fn lease(&self, number: usize) -> Option<LeasedJobId> {
        self.model.leases.get(number.checked_rem(self.model.leases.len())?).copied()
    }

    fn at(&mut self, id: JobId) -> &mut Job {
        self.model.jobs.get_mut(&id).expect("a job that was pushed")
    }

    fn holder(&self, key: u8) -> Option<JobId> {
        let holds = |job: &Job| job.key == Some(key) && matches!(job.place, Place::Waiting | Place::Leased { .. });
        self.model.jobs.iter().find(|(_, job)| holds(job)).map(|(id, _)| *id)
    }

    /// Whether this lease counts.
    fn stands(&self, lease: LeasedJobId) -> bool {
        matches!(self.model.jobs[&lease.job_id()].place, Place::Leased { lease: standing, .. } if standing == lease)
    }

    fn new_job(key: Option<u8>, replace: bool, max_attempts: u16, priority: u8) -> NewJob {
        let mut job = NewJob::new("send", &1).unwrap();
        let options = PushOptions::default().max_attempts(max_attempts).priority(Priority::new(priority).unwrap());
        let on_conflict = if replace { OnConflict::Replace } else { OnConflict::Keep };
        job.options = match key {
            Some(key) => options.unique(Unique::key(key.to_string()).on_conflict(on_conflict)),
            None => options,
        };
        job
    }

    /// What pushing a job must answer; enters it into the model.
    fn pushed(&mut self, answer: PushOutcome, new: Job, replace: bool) -> Checked {
        let expected = match new.key.and_then(|key| self.holder(key)) {
            None => {
                prop_assert!(!self.model.jobs.contains_key(&answer.id()), "a new id");
                self.model.jobs.insert(answer.id(), new);
                PushOutcome::Enqueued(answer.id())
            }
            Some(id) if replace && self.model.jobs[&id].place == Place::Waiting => {
                *self.at(id) = new;
                PushOutcome::Replaced(id)
            }
            Some(id) => PushOutcome::Duplicate(id),
        };
        prop_assert_eq!(answer, expected);
        Ok(())
    }

    async fn act(&mut self, connection: &mut PgConnection, verb: &Verb) -> Checked {
        let table = self.table.clone();
        match *verb {
            Verb::Push { key, replace, max_attempts, priority } => {
                let job = Self::new_job(key, replace, max_attempts, priority);
                let answer = jobs::push(connection, &table, &job).await.unwrap();
                self.pushed(answer, Job { place: Place::Waiting, attempt: 0, max_attempts, priority, key }, replace)
            }
            Verb::PushMany { ref keys, replace } => {
                let batch: Vec<NewJob> = keys.iter().map(|key| Self::new_job(*key, replace, 2, 5)).collect();
                let answers = jobs::push_many(connection, &table, &batch).await.unwrap();
                prop_assert_eq!(answers.len(), keys.len());
                for (answer, key) in answers.into_iter().zip(keys) {
                    let new = Job { place: Place::Waiting, attempt: 0, max_attempts: 2, priority: 5, key: *key };
                    self.pushed(answer, new, replace)?;
                }
                Ok(())
            }
            Verb::Claim { by, limit } => self.claim(connection, by, limit).await,
            Verb::Complete { lease, kept } => {
                let Some(lease) = self.lease(lease) else { return Ok(()) };
                let done = if kept {
                    let kept = Kept { time: LONG, output: Some("7".to_owned()) };
                    jobs::complete_kept(connection, &table, &[(lease, kept)]).await.unwrap()
                } else {
                    jobs::complete(connection, &table, &[lease]).await.unwrap()
                };
                prop_assert_eq!(done.contains(lease), self.stands(lease));
                if done.contains(lease) {
                    let place = if kept { Place::Past(FinishedState::Completed) } else { Place::Gone };
                    self.at(lease.job_id()).place = place;
                }
                Ok(())
            }
            Verb::CompleteIn { lease, commit } => {
                let Some(lease) = self.lease(lease) else { return Ok(()) };
                let mut transaction = connection.begin().await.unwrap();
                let done = jobs::complete_one(&mut *transaction, &table, lease, None).await;
                prop_assert_eq!(done.is_ok(), self.stands(lease));
                prop_assert!(matches!(done, Ok(()) | Err(LeaseError::Lost(_))));
                if commit {
                    transaction.commit().await.unwrap();
                } else {
                    transaction.rollback().await.unwrap();
                }
                if commit && done.is_ok() {
                    self.at(lease.job_id()).place = Place::Gone;
                }
                Ok(())
            }
            Verb::End { lease, ending } => {
                let Some(lease) = self.lease(lease) else { return Ok(()) };
                let ended = EndedAttempt { id: lease, ending, error: Some("x".to_owned()), took: None };
                let became = jobs::end(connection, &table, &[ended]).await.unwrap().became(lease);
                let expected = self.stands(lease).then(|| self.ends(lease.job_id(), ending));
                prop_assert_eq!(became, expected);
                Ok(())
            }
            Verb::Rescue { worker } => {
                let worker = usize::from(worker);
                let dead = std::mem::replace(&mut self.model.workers[worker], WorkerId::random());
                let mut rescued = jobs::rescue(connection, &table, &[dead], 100).await.unwrap();
                rescued.sort_by_key(|job| job.id);
                let held = |job: &Job| matches!(job.place, Place::Leased { by: Holder::Worker(by), .. } if by == dead);
                let ids: Vec<JobId> = self.model.jobs.iter().filter(|(_, job)| held(job)).map(|(id, _)| *id).collect();
                let mut expected = Vec::new();
                for id in ids {
                    let became = self.ends(id, Ending::Retry(std::time::Duration::ZERO));
                    expected.push((id, became));
                }
                let rescued: Vec<(JobId, Became)> = rescued.iter().map(|job| (job.id, job.became)).collect();
                prop_assert_eq!(rescued, expected);
                Ok(())
            }
            Verb::Expire => {
                let expire = "update queue_emails set lease_until = lease_until - interval '1 day'";
                sqlx::query(expire).execute(connection).await.unwrap();
                for job in self.model.jobs.values_mut() {
                    if let Place::Leased { by: Holder::Hand { expired }, .. } = &mut job.place {
                        *expired = true;
                    }
                }
                Ok(())
            }
            Verb::DiscardExpired => {
                let mut discarded = jobs::discard_expired(connection, &table, 100).await.unwrap();
                discarded.sort();
                let paused = self.model.paused;
                let over = |job: &Job| match job.place {
                    Place::Leased { by: Holder::Hand { expired: true }, cancelling, .. } => {
                        !paused && (cancelling || job.attempt >= job.max_attempts)
                    }
                    _ => false,
                };
                let ids: Vec<JobId> = self.model.jobs.iter().filter(|(_, job)| over(job)).map(|(id, _)| *id).collect();
                for id in &ids {
                    self.ends(*id, Ending::Retry(std::time::Duration::ZERO));
                }
                prop_assert_eq!(discarded, ids);
                Ok(())
            }
            Verb::Cancel { job } => {
                let Some(id) = self.job(job) else { return Ok(()) };
                let answer = jobs::cancel(connection, &table, &[id], None).await.unwrap();
                let running = answer.first().map(|job| job.running);
                let job = self.at(id);
                let expected = match &mut job.place {
                    Place::Waiting => {
                        job.place = Place::Past(FinishedState::Cancelled);
                        Some(false)
                    }
                    Place::Leased { cancelling, .. } => {
                        *cancelling = true;
                        Some(true)
                    }
                    Place::Past(_) | Place::Gone => None,
                };
                prop_assert_eq!(running, expected);
                Ok(())
            }
            Verb::Hasten { job } => {
                let Some(id) = self.job(job) else { return Ok(()) };
                let hastened = jobs::hasten(connection, &table, &[id]).await.unwrap();
                prop_assert_eq!(!hastened.is_empty(), self.at(id).place == Place::Waiting);
                Ok(())
            }
            Verb::Delete { job } => {
                let Some(id) = self.job(job) else { return Ok(()) };
                let deleted = jobs::delete(connection, &table, &[id]).await.unwrap();
                let may = match self.at(id).place {
                    Place::Waiting => true,
                    Place::Leased { by: Holder::Hand { expired }, .. } => expired,
                    _ => false,
                };
                prop_assert_eq!(!deleted.is_empty(), may);
                if may {
                    self.at(id).place = Place::Gone;
                }
                Ok(())
            }
            Verb::Retry { job } => {
                let Some(id) = self.job(job) else { return Ok(()) };
                let back = history::retry(connection, &table, &[id], &Edit::default()).await.unwrap();
                let taken = self.model.jobs[&id].key.is_some_and(|key| self.holder(key).is_some());
                let may = matches!(self.model.jobs[&id].place, Place::Past(_)) && !taken;
                prop_assert_eq!(!back.is_empty(), may);
                if may {
                    let job = self.at(id);
                    (job.place, job.attempt) = (Place::Waiting, 0);
                }
                Ok(())
            }
            Verb::Pause { paused } => {
                queues::pause(connection, &table, paused).await.unwrap();
                self.model.paused = paused;
                Ok(())
            }
        }
    }

    async fn claim(&mut self, connection: &mut PgConnection, by: u8, limit: u32) -> Checked {
        let worker = self.model.workers.get(usize::from(by)).copied();
        let claimant = worker.map_or(Claimant::HandDriven(LONG), Claimant::Worker);
        let mut pinned = connection.begin_with(BEGIN_PINNED).await.unwrap();
        let claimed =
            jobs::claim(&mut *pinned, &self.table, claimant, LeaseToken::random(), None, limit).await.unwrap();
        pinned.commit().await.unwrap();
        let may = |job: &Job| match job.place {
            Place::Waiting => true,
            Place::Leased { by: Holder::Hand { expired }, cancelling, .. } => {
                expired && !cancelling && job.attempt < job.max_attempts
            }
            _ => false,
        };
        let due = self.model.jobs.values().filter(|job| may(job)).count();
        let expected = if self.model.paused { 0 } else { due.min(limit as usize) };
        prop_assert_eq!(claimed.len(), expected);
        let mut priorities: Vec<u8> = self.model.jobs.values().filter(|job| may(job)).map(|job| job.priority).collect();
        priorities.sort_unstable();
        for (claimed, priority) in claimed.into_iter().zip(priorities) {
            let job = self.at(claimed.id.job_id());
            prop_assert!(may(job), "{} must not be claimed: {:?}", claimed.id, job);
            prop_assert_eq!((claimed.priority.get(), claimed.max_attempts), (priority, job.max_attempts));
            job.attempt += 1;
            prop_assert_eq!(claimed.id.attempt(), job.attempt);
            let by = worker.map_or(Holder::Hand { expired: false }, Holder::Worker);
            job.place = Place::Leased { lease: claimed.id, by, cancelling: false };
            self.model.leases.push(claimed.id);
        }
        Ok(())
    }

    /// An attempt at a leased job ends: what becomes of the job.
    fn ends(&mut self, id: JobId, ending: Ending) -> Became {
        let job = self.at(id);
        let Place::Leased { cancelling, .. } = job.place else { unreachable!("it is leased") };
        let spent = job.attempt >= job.max_attempts;
        let became = match ending {
            Ending::Cancel => Became::Cancelled,
            Ending::Discard => Became::Discarded,
            _ if cancelling => Became::Cancelled,
            Ending::Retry(_) if spent => Became::Discarded,
            Ending::Retry(_) => Became::Retried,
            _ => Became::Released,
        };
        job.place = match became {
            Became::Discarded => Place::Past(FinishedState::Discarded),
            Became::Cancelled => Place::Past(FinishedState::Cancelled),
            _ => Place::Waiting,
        };
        if became == Became::Released {
            job.attempt -= 1;
        }
        became
    }

    /// The database and the model say the same of every job.
    async fn compare(&self) -> Checked {
        let queue = jobs::list(&self.db.pool, &self.table, &Default::default(), None, 10_000).await.unwrap();
        let past =
            history::list(&self.db.pool, &self.db.schema, &HistoryFilter::default(), None, 10_000).await.unwrap();
        let mut seen = BTreeMap::new();
        for job in &queue {
            prop_assert!(seen.insert(job.id, job.attempt).is_none());
            let model = &self.model.jobs[&job.id];
            let running = match model.place {
                Place::Waiting => false,
                Place::Leased { by: Holder::Hand { expired }, .. } => !expired,
                Place::Leased { .. } => true,
                _ => return Err(TestCaseError::fail(format!("{:?} is in the queue: {model:?}", job.id))),
            };
            prop_assert_eq!(job.state == JobState::Running, running, "{:?} {:?}", job, model);
            prop_assert_eq!((job.attempt, job.max_attempts), (model.attempt, model.max_attempts));
            let marked = matches!(model.place, Place::Leased { cancelling: true, .. });
            prop_assert_eq!(job.cancel_requested, marked);
        }
        for job in &past {
            prop_assert!(seen.insert(job.id, job.attempt).is_none(), "{:?} is in two places", job.id);
            let model = &self.model.jobs[&job.id];
            prop_assert_eq!(model.place, Place::Past(job.state));
            prop_assert_eq!(job.attempt, model.attempt);
        }
        let present = self.model.jobs.values().filter(|job| job.place != Place::Gone).count();
        prop_assert_eq!(seen.len(), present);
        let held = jobs::held(&self.db.pool, &self.table, &self.model.leases).await.unwrap();
        for lease in &self.model.leases {
            prop_assert_eq!(held.contains(*lease), self.stands(*lease));
        }
        Ok(())
    }
}

async fn run(db: &Db, table: &QueueTable, verbs: &[(bool, Verb)]) -> Checked {
    let reset = "truncate queue_emails, pg_queue_history; update pg_queue_queues set paused_at = null";
    sqlx::raw_sql(reset).execute(&db.pool).await.unwrap();
    let mut connections = [db.connect().await, db.connect().await];
    let model = Model {
        jobs: BTreeMap::new(),
        leases: Vec::new(),
        workers: [(); 2].map(|()| WorkerId::random()),
        paused: false,
    };
    let mut both = Both { db, table: table.clone(), model };
    for (which, verb) in verbs {
        both.act(&mut connections[usize::from(*which)], verb).await?;
        both.compare().await?;
    }
    Ok(())
}

#[test]
fn whatever_is_done_to_jobs_they_are_where_the_model_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (db, table) = runtime.block_on(async {
        let db = database().await;
        let table = db.queue("emails").await;
        (db, table)
    });
    let config =
        ProptestConfig { cases: 64, max_shrink_iters: 500, failure_persistence: None, ..ProptestConfig::default() };
    let verbs = prop::collection::vec((any::<bool>(), verb()), 1..60);
    let outcome = TestRunner::new(config).run(&verbs, |verbs| runtime.block_on(run(&db, &table, &verbs)));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, verbs)) => {
            let verbs: Vec<String> = verbs.iter().map(|(_, verb)| format!("{verb:?}")).collect();
            panic!("{reason}\nafter\n{}", verbs.join("\n"));
        }
        Err(error) => panic!("{error}"),
    }
    // The pool's connections are closed on the runtime that they live on.
    runtime.block_on(async move { drop(db) });
}
