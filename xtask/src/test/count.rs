//! Runs tests, lets their output through, and adds up what they say of themselves.

use std::{
    io::{self, Read, Write},
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// How many tests passed and failed in all runs so far.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

/// A process that outlives its test keeps our end of the pipe open for ever; what the tests themselves wrote is there
/// long before this.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

impl Count {
    /// Runs it to its end, with its standard output both shown and read.
    pub(super) fn run(&mut self, command: &mut Command) -> io::Result<ExitStatus> {
        self.run_into(command, io::stdout())
    }

    fn run_into(&mut self, command: &mut Command, mut out: impl Write + Send + 'static) -> io::Result<ExitStatus> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut output = child.stdout.take().expect("it was just piped");
        let lines = Arc::new(Mutex::new(Lines::default()));
        let (drained, is_drained) = mpsc::channel();
        let reader = Arc::clone(&lines);
        thread::spawn(move || {
            let mut bytes = [0; 8192];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                // As it comes, not line by line: `test x ... ` shows which test is running.
                let _ = out.write_all(&bytes[..length]).and_then(|()| out.flush());
                reader.lock().unwrap_or_else(PoisonError::into_inner).feed(&bytes[..length]);
            }
            let _ = drained.send(());
        });
        let status = child.wait();
        let _ = is_drained.recv_timeout(DRAIN_LIMIT);
        let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        self.passed += lines.count.passed;
        self.failed += lines.count.failed;
        status
    }
}

/// Output that is not yet a whole line, and the sum of the lines before.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
    count: Count,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.begun);
                self.add(&String::from_utf8_lossy(&line));
            } else {
                self.begun.push(byte);
            }
        }
    }

    /// Reads `test result: ok. 3 passed; 0 failed; 0 ignored; ..`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in result.split(['.', ';']) {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => self.count.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.count.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Count, Lines};

    #[test]
    fn results_are_added_up_however_the_output_is_cut() {
        let output =
            b"running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; finished in 0.01s\n\
            a test result: ok. 9 passed\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; finished in 0.5s\n";
        for size in [1, 7, 1000] {
            let mut lines = Lines::default();
            output.chunks(size).for_each(|bytes| lines.feed(bytes));
            assert_eq!((lines.count.passed, lines.count.failed), (4, 2));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_process_left_behind_does_not_hold_the_run() {
        let script = "echo 'test result: ok. 2 passed; 0 failed'; sleep 60 & exit 3";
        let mut count = Count::default();
        let status =
            count.run_into(Command::new("sh").args(["-c", script]), std::io::sink()).expect("there is a shell");
        assert_eq!((count.passed, status.code()), (2, Some(3)));
    }
}
