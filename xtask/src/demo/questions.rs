//! Questions about what was indexed: asked by one process, answered by another, through a queue.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use pg_queue::{PgQueue, PoppedJob, QueueName};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use tokio::time::sleep;

use super::{
    index::WordCounts,
    statistics::{self, Statistics},
};

/// How long an answer may take. The worker is busy, and it may be the one that also rescues.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the responder looks for a question.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Question {
    TopWords { file: String },
    Statistics { directory: String },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    TopWords(WordCounts),
    /// There is such a file, but it has no words, for a reason.
    NoWords(String),
    NoSuchFile,
    Statistics(Statistics),
}

/// A question with its answer.
#[derive(Debug)]
pub(super) struct Answered {
    question: Question,
    answer: Answer,
    took: Duration,
}

pub(super) fn queue() -> Result<QueueName> {
    Ok(QueueName::new("questions")?)
}

pub(super) async fn ask(mgr: &PgQueue, question: Question) -> Result<Answered> {
    let asked = Instant::now();
    let answer = mgr.request_response.push_and_wait(&queue()?, &question, PATIENCE).await;
    let answer = answer.with_context(|| format!("no answer to {question}"))?;
    Ok(Answered { question, answer, took: asked.elapsed() })
}

/// The file with the most words so far, to ask about.
pub(super) async fn longest_file(mgr: &PgQueue) -> Result<Option<String>> {
    let longest = "select name from demo_files order by words desc, name limit 1";
    Ok(sqlx::query_scalar(longest).fetch_optional(mgr.pool()).await?)
}

/// Answers questions until the process is about to end.
pub(super) async fn answer_until(mgr: &PgQueue, ending: &AtomicBool) -> Result<()> {
    let queue = queue()?;
    while !ending.load(Relaxed) {
        let done = match mgr.queue.pop::<Question>(&queue).await {
            Ok(Some(job)) => answer(mgr, &queue, job).await,
            Ok(None) => {
                sleep(LOOK).await;
                Ok(())
            }
            Err(error) => Err(error.into()),
        };
        // Whoever asked sees that no answer comes; the next question may fare better.
        if let Err(error) = done {
            eprintln!("a question was not answered: {error:#}");
            sleep(LOOK).await;
        }
    }
    Ok(())
}

async fn answer(mgr: &PgQueue, queue: &QueueName, job: PoppedJob<Question>) -> Result<()> {
    let request = job.request_id.context("nobody waits for the answer")?;
    let answer = match job.payload {
        Question::TopWords { file } => top_words(mgr, &file).await?,
        Question::Statistics { directory } => Answer::Statistics(statistics::of(mgr, &directory).await?),
    };
    mgr.request_response.store_response(&request, &answer).await?;
    mgr.queue.complete(queue, job.id).await?;
    Ok(())
}

async fn top_words(mgr: &PgQueue, file: &str) -> Result<Answer> {
    let found: Option<(Json<WordCounts>, Option<String>)> =
        sqlx::query_as("select top_words, problem from demo_files where name = $1 limit 1")
            .bind(file)
            .fetch_optional(mgr.pool())
            .await?;
    Ok(match found {
        None => Answer::NoSuchFile,
        Some((_, Some(problem))) => Answer::NoWords(problem),
        Some((Json(words), None)) => Answer::TopWords(words),
    })
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::TopWords { file } => write!(f, "top words of {file}?"),
            Question::Statistics { directory } => write!(f, "statistics of {directory}?"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::TopWords(words) if words.is_empty() => f.write_str("it has no words"),
            Answer::TopWords(words) => {
                let words: Vec<String> = words.iter().take(5).map(|(word, count)| format!("{word} {count}")).collect();
                f.write_str(&words.join(", "))
            }
            Answer::NoWords(reason) => f.write_str(reason),
            Answer::NoSuchFile => f.write_str("no file of this name is indexed"),
            Answer::Statistics(statistics) => statistics.fmt(f),
        }
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({:.1} ms)", self.question, self.answer, self.took.as_secs_f64() * 1000.0)
    }
}
