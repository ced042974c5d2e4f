//! What one run came to, and whether all of its jobs came to their end exactly once.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

/// One run of one contestant.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Outcome {
    /// What the case is about.
    pub(crate) value: f64,
    pub(crate) jobs: u64,
    pub(crate) account: Account,
    /// How many jobs were done when nothing happened any more, if that was so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stalled_at: Option<u64>,
    pub(crate) metrics: BTreeMap<String, f64>,
}

/// What is wrong with the jobs of a run: nothing, when all of it is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Account {
    /// Still there when nothing happened any more.
    pub(crate) unfinished: u64,
    /// Handled more than once, or by more than one process.
    pub(crate) doubled: u64,
    /// Gone without having been handled.
    pub(crate) lost: u64,
}

impl Account {
    pub(crate) fn is_clean(self) -> bool {
        self == Account::default()
    }

    pub(crate) fn and(self, other: Account) -> Account {
        Account {
            unfinished: self.unfinished + other.unfinished,
            doubled: self.doubled + other.doubled,
            lost: self.lost + other.lost,
        }
    }

    /// Of jobs that were enqueued and not yet worked at: as many as there are in the database.
    pub(crate) fn of_enqueued(enqueued: u64, found: u64) -> Account {
        Account { unfinished: 0, doubled: found.saturating_sub(enqueued), lost: enqueued.saturating_sub(found) }
    }
}

/// What the processes of one contestant's workers say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Worked {
    pub(crate) handled: u64,
    doubled: u64,
    checksum: u64,
    pub(crate) unfinished: u64,
    pub(crate) began_us: u64,
    pub(crate) ended_us: u64,
    pub(crate) cpu_us: u64,
    pub(crate) peak_kb: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// How many messages subscribers were told that they have lost, and how often that there may be some.
    told_lost: u64,
    told_gaps: u64,
}

impl Worked {
    pub(crate) fn parse(answer: &Value) -> Result<Worked> {
        let number = |key: &str| answer[key].as_u64().with_context(|| format!("no {key} in {answer}"));
        let latency = |key: &str| answer["latency"][key].as_f64().with_context(|| format!("no {key} in {answer}"));
        let checksum = answer["checksum"].as_str().and_then(|sum| sum.parse().ok());
        Ok(Worked {
            handled: number("handled")?,
            doubled: number("doubled")?,
            checksum: checksum.with_context(|| format!("no checksum in {answer}"))?,
            unfinished: number("unfinished")?,
            began_us: number("began_us")?,
            ended_us: number("ended_us")?,
            cpu_us: number("cpu_us")?,
            peak_kb: number("peak_kb")?,
            p50_ms: latency("p50_ms")?,
            p99_ms: latency("p99_ms")?,
            max_ms: latency("max_ms")?,
            // Workers are not told such things.
            told_lost: answer["told_lost"].as_u64().unwrap_or_default(),
            told_gaps: answer["told_gaps"].as_u64().unwrap_or_default(),
        })
    }

    /// Several processes as one. All of them have asked the same database what is left; the last one knows.
    pub(crate) fn and(self, other: Worked) -> Worked {
        let last = if self.ended_us > other.ended_us { self } else { other };
        Worked {
            handled: self.handled + other.handled,
            doubled: self.doubled + other.doubled,
            checksum: self.checksum.wrapping_add(other.checksum),
            unfinished: last.unfinished,
            began_us: self.began_us.min(other.began_us),
            ended_us: last.ended_us,
            cpu_us: self.cpu_us + other.cpu_us,
            peak_kb: self.peak_kb + other.peak_kb,
            p50_ms: self.p50_ms.max(other.p50_ms),
            p99_ms: self.p99_ms.max(other.p99_ms),
            max_ms: self.max_ms.max(other.max_ms),
            told_lost: self.told_lost + other.told_lost,
            told_gaps: self.told_gaps + other.told_gaps,
        }
    }

    /// How many messages were lost, and whoever should have received them knows. A gap is one of unknown size.
    pub(crate) fn known_lost(&self, messages: u64) -> u64 {
        let missing = messages.saturating_sub(self.handled);
        if self.told_gaps > 0 { missing } else { missing.min(self.told_lost) }
    }

    pub(crate) fn account(&self, jobs: u64) -> Account {
        // Two processes had the same job: each knows it as new.
        let elsewhere = self.handled.saturating_sub(jobs);
        let known = self.known_lost(jobs);
        let lost = jobs.saturating_sub(self.handled).saturating_sub(self.unfinished).saturating_sub(known);
        let mut account = Account { unfinished: self.unfinished, doubled: self.doubled + elsewhere, lost };
        if account.is_clean() && known == 0 && self.checksum != bench_harness::checksum_of(jobs) {
            // As many as there should be, but not the same: one was done twice and another not at all.
            (account.doubled, account.lost) = (1, 1);
        }
        account
    }
}

#[cfg(test)]
mod tests {
    use super::{Account, Worked};

    fn worked(handled: u64, doubled: u64, unfinished: u64, checksum: u64) -> Worked {
        Worked { handled, doubled, unfinished, checksum, ..Worked::default() }
    }

    #[test]
    fn all_jobs_done_once_is_clean() {
        let sum = bench_harness::checksum_of(100);
        assert!(worked(100, 0, 0, sum).account(100).is_clean());
        let (one, other) = (worked(40, 0, 0, 7), worked(60, 0, 0, sum.wrapping_sub(7)));
        assert!(one.and(other).account(100).is_clean());
    }

    #[test]
    fn what_is_missing_is_either_unfinished_or_lost() {
        assert_eq!(worked(90, 0, 10, 0).account(100), Account { unfinished: 10, doubled: 0, lost: 0 });
        assert_eq!(worked(90, 0, 4, 0).account(100), Account { unfinished: 4, doubled: 0, lost: 6 });
    }

    #[test]
    fn what_comes_twice_is_doubled_in_one_process_or_in_two() {
        let sum = bench_harness::checksum_of(100);
        assert_eq!(worked(100, 3, 0, sum).account(100).doubled, 3);
        assert_eq!(worked(60, 0, 0, 1).and(worked(45, 0, 0, 1)).account(100).doubled, 5);
        let swapped = worked(100, 0, 0, sum.wrapping_add(1)).account(100);
        assert_eq!(swapped, Account { unfinished: 0, doubled: 1, lost: 1 });
    }

    #[test]
    fn what_a_subscriber_was_told_of_is_not_lost_in_silence() {
        let received = worked(90, 0, 0, 0);
        let told = |told_lost, told_gaps| Worked { told_lost, told_gaps, ..received };
        for (worked, silent) in [(told(0, 0), 10), (told(4, 0), 6), (told(10, 0), 0), (told(11, 0), 0), (told(0, 1), 0)]
        {
            assert_eq!(worked.account(100), Account { lost: silent, ..Account::default() }, "{worked:?}");
            assert_eq!(worked.known_lost(100), 10 - silent);
        }
        let all = Worked { told_gaps: 1, ..worked(100, 0, 0, bench_harness::checksum_of(100)) };
        assert!(all.account(100).is_clean() && all.known_lost(100) == 0);
    }

    #[test]
    fn enqueued_jobs_are_all_found_and_no_others() {
        assert!(Account::of_enqueued(10, 10).is_clean());
        assert_eq!(Account::of_enqueued(10, 8).lost, 2);
        assert_eq!(Account::of_enqueued(10, 11).doubled, 1);
    }
}
