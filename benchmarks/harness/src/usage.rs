//! Time, and what this process has used.

use std::fs;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Microseconds on a clock that never jumps and is the same in all processes of the machine.
pub(crate) fn now() -> u64 {
    microseconds(clock_gettime(ClockId::Monotonic))
}

/// The processor time of this process, all threads, user's and system's.
pub(crate) fn cpu() -> u64 {
    microseconds(clock_gettime(ClockId::ProcessCPUTime))
}

fn microseconds(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}

/// The most memory that this process has had, in kB; 0 where the system does not say.
pub(crate) fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    field(&status, "VmHWM:")
}

/// How often a thread of this process went to sleep and was woken; 0 where the system does not say.
pub(crate) fn wake_ups() -> u64 {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let statuses = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    statuses.map(|status| field(&status, "voluntary_ctxt_switches:")).sum()
}

fn field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{cpu, field, now};

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "VmPeak:\t 10 kB\nVmHWM:\t  4096 kB\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!([field(status, "VmHWM:"), field(status, "voluntary_ctxt_switches:")], [4096, 0]);
    }

    #[test]
    fn clocks_do_not_go_back() {
        let before = (now(), cpu());
        assert!((now(), cpu()) >= before);
    }
}
