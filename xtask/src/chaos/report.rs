//! What the user is told at the end, and whether it is good.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::{
    faults::Kind,
    run::{Outcome, Settings},
};
use crate::{
    numbers::{rounded, thousands},
    report,
};

/// How many violations of one sort are told in full.
const TOLD: usize = 10;

/// What takes longer than this to recover does not recover by itself. One recovery takes five beats at most: four until the
/// worker is declared dead, one until his jobs are taken. Faults may come together, and a machine may be busy: it is too
/// long when it takes about twice as long, and with short beats, which are nothing against an outage, as long as by default.
const RECOVERY_BEATS: u32 = 9;
const RECOVERY: Duration = Duration::from_secs(45);

/// The outcome as `--json` prints it.
#[derive(Debug, Serialize)]
struct Json {
    enqueued: u64,
    finished: u64,
    lost: usize,
    overlaps: usize,
    double_effects: usize,
    reruns: u64,
    stale_rejected: u64,
    kills: u64,
    stops: u64,
    restarts: u64,
    recovery_p50_s: Option<f64>,
    recovery_max_s: Option<f64>,
    stale_writes: usize,
    revived: usize,
    undone: usize,
    ghosts: usize,
    crashes: usize,
    messages: u64,
    lost_messages: usize,
    doubled_messages: usize,
    cuts: u64,
    backends_killed: u64,
    runs: u64,
    rescued: u64,
    cancelled: u64,
    retried: u64,
    seed: u64,
    heartbeat_s: u64,
    seconds: u64,
    elapsed_s: f64,
}

impl Outcome {
    /// What must not be, each in a line. All is well when this is empty.
    pub(super) fn violations(&self, settings: &Settings) -> Vec<String> {
        let findings = &self.findings;
        let limit = RECOVERY.max(settings.beat * RECOVERY_BEATS);
        [
            ("lost", &findings.lost),
            ("overlap", &findings.overlaps),
            ("double effect", &findings.double_effects),
            ("stale write", &findings.stale_writes),
            ("revived", &findings.revived),
            ("undone", &findings.undone),
            ("ghost", &findings.ghosts),
            ("crash", &self.crashes),
            ("lost message", &self.messages.lost),
            ("doubled message", &self.messages.doubled),
            ("slow recovery", &findings.recovery.longer_than(limit)),
        ]
        .into_iter()
        .flat_map(|(sort, all)| {
            let told = all.iter().take(TOLD).map(move |one| format!("{sort}: {one}"));
            let rest = all.len().saturating_sub(TOLD);
            told.chain((rest > 0).then(|| format!("{sort}: {rest} more")))
        })
        .collect()
    }

    fn finished(&self) -> u64 {
        self.enqueued.saturating_sub(self.findings.lost.len() as u64)
    }

    fn json(&self, settings: &Settings) -> Json {
        let Outcome { findings, faults, .. } = self;
        let seconds = |time: Option<Duration>| time.map(|time| rounded(time.as_secs_f64()));
        Json {
            enqueued: self.enqueued,
            finished: self.finished(),
            lost: findings.lost.len(),
            overlaps: findings.overlaps.len(),
            double_effects: findings.double_effects.len(),
            reruns: findings.reruns,
            stale_rejected: self.stale_rejected,
            kills: faults.count(Kind::Killed),
            stops: faults.count(Kind::Stopped),
            restarts: faults.restarts,
            recovery_p50_s: seconds(findings.recovery.median()),
            recovery_max_s: seconds(findings.recovery.longest()),
            stale_writes: findings.stale_writes.len(),
            revived: findings.revived.len(),
            undone: findings.undone.len(),
            ghosts: findings.ghosts.len(),
            crashes: self.crashes.len(),
            messages: self.messages.published,
            lost_messages: self.messages.lost.len(),
            doubled_messages: self.messages.doubled.len(),
            cuts: faults.count(Kind::Cut),
            backends_killed: faults.backends,
            runs: self.runs,
            rescued: self.rescued,
            cancelled: self.interventions.cancelled,
            retried: self.interventions.retried,
            seed: settings.seed,
            heartbeat_s: settings.beat.as_secs(),
            seconds: settings.length.as_secs(),
            elapsed_s: rounded(self.elapsed.as_secs_f64()),
        }
    }

    fn text(&self, settings: &Settings) -> String {
        let Outcome { findings, faults, interventions, .. } = self;
        let seconds = |time: Option<Duration>| {
            time.map_or_else(|| "none".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
        };
        let found = |list: &[String]| thousands(list.len() as u64);
        let rows = [
            ("jobs", thousands(self.enqueued), "whose enqueue was answered".to_owned()),
            ("finished", thousands(self.finished()), format!("in {} runs", thousands(self.runs))),
            ("lost", found(&findings.lost), "neither done nor in the history, or stuck".to_owned()),
            ("overlaps", found(&findings.overlaps), "runs of a job at work at the same time".to_owned()),
            ("double effects", found(&findings.double_effects), "committed with a completion, twice".to_owned()),
            ("stale writes", found(&findings.stale_writes), "committed after the job had passed on".to_owned()),
            ("revived", found(&findings.revived), "run after they were completed".to_owned()),
            ("undone", found(&findings.undone), "commits that were answered and are not there".to_owned()),
            ("ghosts", found(&findings.ghosts), "runs of what was rolled back".to_owned()),
            ("crashes", found(&self.crashes), "of workers by themselves".to_owned()),
            ("reruns", thousands(findings.reruns), format!("{} jobs were rescued", thousands(self.rescued))),
            ("stale, rejected", thousands(self.stale_rejected), "writes under a lost lease".to_owned()),
            (
                "faults",
                thousands(faults.done.len() as u64 + faults.restarts),
                format!(
                    "{} kills, {} stops, {} cuts, {} restarts; {} connections ended",
                    faults.count(Kind::Killed),
                    faults.count(Kind::Stopped),
                    faults.count(Kind::Cut),
                    faults.restarts,
                    thousands(faults.backends)
                ),
            ),
            (
                "operator",
                thousands(interventions.cancelled + interventions.retried),
                format!(
                    "{} jobs cancelled, {} put back from the history",
                    thousands(interventions.cancelled),
                    thousands(interventions.retried)
                ),
            ),
            (
                "recovery p50",
                seconds(findings.recovery.median()),
                format!("of {} runs that were broken off", thousands(findings.recovery.count() as u64)),
            ),
            ("recovery max", seconds(findings.recovery.longest()), findings.recovery.slowest().to_owned()),
        ];
        let row = |(name, value, note): (&str, String, String)| format!("  {name:<16}{value:>9}  {note}");
        let rows = rows.map(|cells| row(cells).trim_end().to_owned()).join("\n");
        let Settings { seed, length, beat } = settings;
        format!("\nseed {seed}, {} s of faults, a heartbeat of {} s\n\n{rows}\n", length.as_secs(), beat.as_secs())
    }
}

/// Prints the outcome, and what is wrong with it.
pub(super) fn print(outcome: &Outcome, settings: &Settings, json: bool) -> Result<()> {
    let object = json.then(|| serde_json::to_string(&outcome.json(settings))).transpose()?;
    report::outcome(&outcome.text(settings), object.as_deref(), &outcome.violations(settings))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Outcome, Settings};

    const SETTINGS: Settings = Settings { seed: 7, length: Duration::from_secs(60), beat: Duration::from_secs(5) };

    #[test]
    fn all_is_well_when_nothing_was_found() {
        let outcome = Outcome { enqueued: 10, ..Outcome::default() };
        assert_eq!(outcome.violations(&SETTINGS), [""; 0]);
        assert_eq!(outcome.finished(), 10);
    }

    #[test]
    fn every_violation_is_said_in_a_line_and_many_are_counted() {
        type Break = fn(&mut Outcome, Vec<String>);
        let broken: [(Break, &str); 8] = [
            (|it, list| it.findings.lost = list, "lost"),
            (|it, list| it.findings.overlaps = list, "overlap"),
            (|it, list| it.findings.double_effects = list, "double effect"),
            (|it, list| it.findings.stale_writes = list, "stale write"),
            (|it, list| it.findings.revived = list, "revived"),
            (|it, list| it.findings.undone = list, "undone"),
            (|it, list| it.findings.ghosts = list, "ghost"),
            (|it, list| it.crashes = list, "crash"),
        ];
        for (change, sort) in broken {
            let mut outcome = Outcome::default();
            change(&mut outcome, vec!["this".to_owned(), "that".to_owned()]);
            assert_eq!(outcome.violations(&SETTINGS), [format!("{sort}: this"), format!("{sort}: that")]);
            change(&mut outcome, vec![String::new(); 15]);
            let said = outcome.violations(&SETTINGS);
            assert_eq!((said.len(), said.last()), (11, Some(&format!("{sort}: 5 more"))));
        }
    }

    #[test]
    fn the_promised_fields_come_first() -> anyhow::Result<()> {
        let json = serde_json::to_string(&Outcome::default().json(&SETTINGS))?;
        let promised = "{\"enqueued\":0,\"finished\":0,\"lost\":0,\"overlaps\":0,\"double_effects\":0,\"reruns\":0,\
            \"stale_rejected\":0,\"kills\":0,\"stops\":0,\"restarts\":0,\"recovery_p50_s\":null,\"recovery_max_s\":null,";
        assert!(json.starts_with(promised), "{json}");
        Ok(())
    }
}
