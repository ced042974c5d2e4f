//! What the user is told at the end, and whether it is good.

use anyhow::Result;
use serde::Serialize;

use super::{
    probes,
    run::{Outcome, SURVIVOR, VICTIM},
};
use crate::{
    numbers::{rounded, thousands},
    report,
};

const NEXT: &str = "\
what to look at next:
  cargo run -p quickstart -- serve   a worker to enqueue for from psql
  README.md                          the calls, and how to use them
  ARCHITECTURE.md                    what happens when a worker dies, and where that is written";

/// The outcome as `--json` prints it.
#[derive(Debug, Serialize)]
struct Json {
    files: usize,
    jobs: i64,
    completed: i64,
    failed: i64,
    lost: i64,
    double_effects: i64,
    rescued: i64,
    elapsed_s: f64,
    jobs_per_s: f64,
    pickup_p50_ms: f64,
    pickup_p99_ms: f64,
}

impl Outcome {
    /// What should not have happened, or should have and did not. All is well when this is empty.
    pub(super) fn failures(&self) -> Vec<String> {
        let counts = &self.counts;
        let files = i64::try_from(self.files).unwrap_or(i64::MAX);
        [
            (counts.jobs != files, format!("{} jobs were enqueued for {files} files", counts.jobs)),
            (counts.lost > 0, format!("{} jobs were lost", counts.lost)),
            (counts.double_effects > 0, format!("{} files were indexed more than once", counts.double_effects)),
            (counts.failed > 0, format!("{} jobs were given up", counts.failed)),
            (counts.completed != counts.jobs, format!("{} of {} jobs were completed", counts.completed, counts.jobs)),
            (counts.rescued == 0, format!("no job of the killed {VICTIM} was rescued")),
        ]
        .into_iter()
        .filter_map(|(is_wrong, text)| is_wrong.then_some(text))
        .collect()
    }

    fn jobs_per_s(&self, seconds: f64, jobs: i64) -> f64 {
        if seconds > 0.0 { jobs as f64 / seconds } else { 0.0 }
    }

    fn json(&self) -> Json {
        let counts = &self.counts;
        Json {
            files: self.files,
            jobs: counts.jobs,
            completed: counts.completed,
            failed: counts.failed,
            lost: counts.lost,
            double_effects: counts.double_effects,
            rescued: counts.rescued,
            elapsed_s: rounded(counts.elapsed_s),
            jobs_per_s: rounded(self.jobs_per_s(counts.elapsed_s, counts.completed)),
            pickup_p50_ms: rounded(self.pickup.p50),
            pickup_p99_ms: rounded(self.pickup.p99),
        }
    }

    fn table(&self) -> String {
        let counts = &self.counts;
        let number = |number: i64| thousands(number.unsigned_abs());
        let busy = self.jobs_per_s(counts.busy_s, counts.completed - counts.rescued);
        let mut speed = format!("over {:.1} s", counts.elapsed_s);
        if counts.elapsed_s - counts.busy_s > 0.5 {
            // Nothing else was left to do while the killed worker's jobs waited.
            speed += &format!("; {busy:.0} until the wait for the rescue");
        }
        let rows = [
            (
                "files",
                thousands(self.files as u64),
                format!("{} binary, {} unreadable", counts.binary, counts.unreadable),
            ),
            ("jobs", number(counts.jobs), format!("{} completed", number(counts.completed))),
            ("retries", number(counts.retries), "failed attempts that were made again".to_owned()),
            ("rescued", number(counts.rescued), self.rescue()),
            ("lost", number(counts.lost), "no effect, and in no table of jobs".to_owned()),
            (
                "duplicates in effect",
                number(counts.double_effects),
                "files that were indexed more than once".to_owned(),
            ),
            ("jobs/s", format!("{:.0}", self.jobs_per_s(counts.elapsed_s, counts.completed)), speed),
            (
                "pickup p50",
                format!("{:.2} ms", self.pickup.p50),
                format!("of {} single jobs, by an idle worker; a job in a backlog waits for the others", probes::COUNT),
            ),
            ("pickup p99", format!("{:.2} ms", self.pickup.p99), String::new()),
        ];
        let row = |(name, value, note): (&str, String, String)| format!("  {name:<21}{value:>10}  {note}");
        rows.map(|cells| row(cells).trim_end().to_owned()).join("\n")
    }

    fn rescue(&self) -> String {
        match self.counts.rescue_s {
            Some(seconds) => format!("run by {SURVIVOR}, all within {seconds:.1} s of the death of {VICTIM}"),
            None => format!("although {VICTIM} held {} jobs", self.death.held),
        }
    }

    fn text(&self) -> String {
        let answers: Vec<String> = self.answered.iter().map(|answered| format!("  {answered}")).collect();
        let largest: Vec<String> = self.largest.iter().map(|it| format!("  {}: {it}", it.directory)).collect();
        format!(
            "\n{}\n\n{VICTIM} (process {}) was killed with SIGKILL while it held {} started jobs; {} of them were rescued.\n\n\
             asked through a queue, answered by {SURVIVOR}:\n{}\n\n\
             the largest directories, from the cache:\n{}\n\n{NEXT}",
            self.table(),
            self.death.process,
            self.death.held,
            self.counts.rescued,
            answers.join("\n"),
            largest.join("\n"),
        )
    }
}

/// Prints the outcome, and what is wrong with it.
pub(super) fn print(outcome: &Outcome, json: bool) -> Result<()> {
    let object = json.then(|| serde_json::to_string(&outcome.json())).transpose()?;
    report::outcome(&outcome.text(), object.as_deref(), &outcome.failures())
}

#[cfg(test)]
mod tests {
    use super::super::{
        counts::Counts,
        probes::Pickup,
        run::{Death, Outcome},
    };

    fn outcome(change: impl FnOnce(&mut Counts)) -> Outcome {
        let mut counts = Counts { jobs: 300, completed: 300, rescued: 4, elapsed_s: 6.0, ..Counts::default() };
        change(&mut counts);
        let death = Death { process: 1, held: 4, at: 0.0 };
        let pickup = Pickup { p50: 1.2345, p99: 2.0 };
        Outcome { files: 300, counts, death, pickup, answered: Vec::new(), largest: Vec::new() }
    }

    #[test]
    fn all_is_well_when_every_job_was_completed_once_and_some_were_rescued() {
        assert_eq!(outcome(|_| {}).failures(), [""; 0]);
    }

    #[test]
    fn every_broken_promise_is_a_failure() {
        type Break = fn(&mut Counts);
        let broken: [(Break, &str); 6] = [
            (|it| it.lost = 1, "1 jobs were lost"),
            (|it| it.double_effects = 2, "2 files were indexed more than once"),
            (|it| it.failed = 3, "3 jobs were given up"),
            (|it| it.completed = 299, "299 of 300 jobs were completed"),
            (|it| it.rescued = 0, "no job of the killed worker 1 was rescued"),
            (|it| (it.jobs, it.completed) = (299, 299), "299 jobs were enqueued for 300 files"),
        ];
        for (change, failure) in broken {
            assert_eq!(outcome(change).failures(), [failure]);
        }
    }

    #[test]
    fn the_json_has_exactly_the_keys_that_are_promised() -> anyhow::Result<()> {
        let json = serde_json::to_string(&outcome(|_| {}).json())?;
        assert_eq!(
            json,
            "{\"files\":300,\"jobs\":300,\"completed\":300,\"failed\":0,\"lost\":0,\"double_effects\":0,\
             \"rescued\":4,\"elapsed_s\":6.0,\"jobs_per_s\":50.0,\"pickup_p50_ms\":1.235,\"pickup_p99_ms\":2.0}"
        );
        Ok(())
    }
}
