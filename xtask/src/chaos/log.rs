//! What the handlers of a process do, noted where no fault reaches it: a line per deed in a file, not buffered, so that it
//! survives the death of its process and is seen of one that is cut off from the database.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::Path,
    str::{FromStr, SplitWhitespace},
};

use anyhow::{Context, Error, Result, bail};

use super::{clock::Moment, jobs::Kind};

/// One run of one job: the process, counted from 1 over the whole time, and the run, counted from 1 in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RunId {
    pub(super) process: u32,
    pub(super) run: u32,
}

/// What was done, or learnt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Deed {
    /// A handler began to run.
    Begun { run: RunId, number: i64, job: i64, attempt: u16, kind: Kind },
    /// It is still at work.
    Tick(RunId),
    /// It has completed its job in its transaction, and is about to commit that.
    Committing(RunId),
    /// Its effect was committed, as the server says.
    Committed(RunId),
    /// It was not allowed to complete its job: the lease is lost.
    Refused(RunId),
    /// It has ended.
    Ended(RunId, End),
    /// The worker was not allowed to say how an attempt at this job has ended: the lease is lost.
    LeaseLost(i64),
    /// The worker took so many jobs from dead ones.
    Rescued(usize),
}

/// How a handler ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It has done all.
    Done,
    /// It has failed, panicked or put its job off, as it was told to.
    AsTold,
    /// It has failed although it was not told to.
    Failed,
    /// It was dropped.
    Dropped,
}

/// A deed and its moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    pub(super) at: Moment,
    pub(super) deed: Deed,
}

/// The log of this process.
#[derive(Debug)]
pub(super) struct Log(File);

impl Log {
    pub(super) fn create(path: &Path) -> Result<Log> {
        let file = File::options().create_new(true).append(true).open(path);
        file.map(Log).with_context(|| format!("the log {} cannot be made", path.display()))
    }

    /// Notes what is done at this moment. In one piece: many do so at once, and the process may be killed at any time.
    pub(super) fn note(&self, deed: Deed) {
        let line = format!("{}\n", Line { at: Moment::now(), deed });
        if let Err(error) = (&self.0).write_all(line.as_bytes()) {
            // What is not noted looks as if it had not happened.
            panic!("the log cannot be written: {error}");
        }
    }
}

/// Reads the log of a process that has ended.
pub(super) fn read(path: &Path) -> Result<Vec<Line>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        // It was killed before it began.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("the log {} cannot be read", path.display())),
    };
    // A line that was cut off by a kill did not come to be done.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = |line: &str| line.parse().with_context(|| format!("{}: {line:?} is no line", path.display()));
    whole.lines().map(line).collect()
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.process, self.run)
    }
}

impl FromStr for RunId {
    type Err = Error;

    fn from_str(text: &str) -> Result<RunId> {
        let (process, run) = text.split_once('.').context("a run has two numbers")?;
        Ok(RunId { process: process.parse()?, run: run.parse()? })
    }
}

const ENDS: [(End, &str); 4] =
    [(End::Done, "done"), (End::AsTold, "as-told"), (End::Failed, "failed"), (End::Dropped, "dropped")];

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ENDS.iter().find(|(end, _)| end == self).map_or("", |(_, word)| word))
    }
}

impl FromStr for End {
    type Err = Error;

    fn from_str(text: &str) -> Result<End> {
        let known = ENDS.iter().find(|(_, word)| *word == text);
        known.map(|(end, _)| *end).with_context(|| format!("{text:?} is no end"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        match self.deed {
            Deed::Begun { run, number, job, attempt, kind } => {
                write!(f, "{at} begun {run} {number} {job} {attempt} {kind}")
            }
            Deed::Tick(run) => write!(f, "{at} tick {run}"),
            Deed::Committing(run) => write!(f, "{at} committing {run}"),
            Deed::Committed(run) => write!(f, "{at} committed {run}"),
            Deed::Refused(run) => write!(f, "{at} refused {run}"),
            Deed::Ended(run, end) => write!(f, "{at} ended {run} {end}"),
            Deed::LeaseLost(job) => write!(f, "{at} lease-lost {job}"),
            Deed::Rescued(jobs) => write!(f, "{at} rescued {jobs}"),
        }
    }
}

impl FromStr for Line {
    type Err = Error;

    fn from_str(text: &str) -> Result<Line> {
        fn next<T: FromStr<Err: Into<Error>>>(words: &mut SplitWhitespace<'_>) -> Result<T> {
            words.next().context("it is too short")?.parse().map_err(Into::into)
        }
        let words = &mut text.split_whitespace();
        let at = next(words)?;
        let deed = match words.next().unwrap_or_default() {
            "begun" => Deed::Begun {
                run: next(words)?,
                number: next(words)?,
                job: next(words)?,
                attempt: next(words)?,
                kind: next(words)?,
            },
            "tick" => Deed::Tick(next(words)?),
            "committing" => Deed::Committing(next(words)?),
            "committed" => Deed::Committed(next(words)?),
            "refused" => Deed::Refused(next(words)?),
            "ended" => Deed::Ended(next(words)?, next(words)?),
            "lease-lost" => Deed::LeaseLost(next(words)?),
            "rescued" => Deed::Rescued(next(words)?),
            other => bail!("{other:?} is no deed"),
        };
        Ok(Line { at, deed })
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use super::{Deed, End, Line, Log, RunId, read};
    use crate::chaos::{clock::Moment, jobs::Kind};

    const RUN: RunId = RunId { process: 3, run: 17 };

    #[test]
    fn what_is_written_is_read() -> anyhow::Result<()> {
        for deed in [
            Deed::Begun { run: RUN, number: 5, job: 9, attempt: 2, kind: Kind::Stubborn },
            Deed::Tick(RUN),
            Deed::Committing(RUN),
            Deed::Committed(RUN),
            Deed::Refused(RUN),
            Deed::Ended(RUN, End::AsTold),
            Deed::LeaseLost(9),
            Deed::Rescued(40),
        ] {
            let line = Line { at: Moment(123), deed };
            assert_eq!(line.to_string().parse::<Line>()?, line);
        }
        for wrong in ["", "1", "1 tick", "x tick 1.2", "1 jump 1.2", "1 tick 12", "1 ended 1.2 well"] {
            assert!(wrong.parse::<Line>().is_err(), "{wrong:?}");
        }
        Ok(())
    }

    #[test]
    fn a_line_that_was_cut_off_counts_for_nothing() -> anyhow::Result<()> {
        let path = env::temp_dir().join(format!("pgq-chaos-log-{}", process::id()));
        let log = Log::create(&path)?;
        log.note(Deed::Tick(RUN));
        fs::write(&path, fs::read_to_string(&path)? + "12 ti")?;
        let lines = read(&path);
        fs::remove_file(&path)?;
        let deeds: Vec<Deed> = lines?.into_iter().map(|line| line.deed).collect();
        assert_eq!(deeds, [Deed::Tick(RUN)]);
        assert_eq!(read(&path)?, [], "there is none of a process that was killed at its start");
        Ok(())
    }
}
