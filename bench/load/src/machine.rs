//! Reads figures of processes from `/proc`. Linux only; figures that are not available are `None`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

/// The memory of a process, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ProcessMemory {
    /// All resident memory, including pages of the process's own binary.
    pub(crate) resident_kib: u64,
    /// The part of it that is not backed by a file.
    pub(crate) anonymous_kib: u64,
}

/// A process that belongs to a server: its main process or a plug-in.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ProcessInfo {
    pub(crate) pid: u32,
    /// The size of the binary in bytes; it identifies plug-ins, which run from copies.
    pub(crate) binary_bytes: u64,
    pub(crate) memory: ProcessMemory,
}

/// The unit of processor time in `/proc`, which is 10 ms on all Linux systems that this runs on.
const TICK: Duration = Duration::from_millis(10);

/// A process and all its descendants, itself first. Empty if the process does not exist.
pub(crate) fn process_tree(pid: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Some(parent) = proc_stat(pid).and_then(|stat| stat.parent_pid()) {
            parents.push((pid, parent));
        }
    }
    if !parents.iter().any(|(known, _)| *known == pid) {
        return Vec::new();
    }
    descendants(pid, &parents)
}

fn descendants(root: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let children = parents.iter().filter(|(pid, of)| *of == parent && !found.contains(pid));
        let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
        found.extend(children);
        next += 1;
    }
    found
}

/// The total processor time of these processes so far, over all threads.
pub(crate) fn processor_time(pids: &[u32]) -> Duration {
    let ticks: u64 = pids.iter().filter_map(|pid| proc_stat(*pid)?.cpu_ticks()).sum();
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// The total busy processor time of the machine so far.
pub(crate) fn busy_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let ticks = busy_ticks(stat.lines().next()?)?;
    Some(TICK * u32::try_from(ticks).ok()?)
}

/// The sum of user, nice, system, irq and softirq of the line `cpu ...`, without idle and I/O wait.
fn busy_ticks(line: &str) -> Option<u64> {
    let numbers: Vec<u64> = line.split_whitespace().skip(1).map_while(|n| n.parse().ok()).collect();
    [0, 1, 2, 5, 6].iter().map(|at| numbers.get(*at).copied()).sum()
}

/// The current figures of a process.
pub(crate) fn process_info(pid: u32) -> Option<ProcessInfo> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let memory = ProcessMemory {
        resident_kib: status_kib(&status, "VmRSS:")?,
        anonymous_kib: status_kib(&status, "RssAnon:")?,
    };
    let binary_bytes = file_bytes(Path::new(&format!("/proc/{pid}/exe")));
    Some(ProcessInfo { pid, binary_bytes, memory })
}

/// The size of a file in bytes; 0 if it does not exist.
pub(crate) fn file_bytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn status_kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The fields after the name in `/proc/<pid>/stat`.
struct ProcStat(Vec<String>);

fn proc_stat(pid: u32) -> Option<ProcStat> {
    ProcStat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

impl ProcStat {
    /// The name may contain spaces and brackets, so parsing starts after the last bracket.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        Some(Self(rest.split_whitespace().map(str::to_owned).collect()))
    }

    fn number_at(&self, at: usize) -> Option<u64> {
        self.0.get(at)?.parse().ok()
    }

    fn parent_pid(&self) -> Option<u32> {
        self.number_at(1)?.try_into().ok()
    }

    fn cpu_ticks(&self) -> Option<u64> {
        Some(self.number_at(11)? + self.number_at(12)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_do_not_shift_the_fields() {
        let stat =
            ProcStat::parse("7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 3 4 150 25 0 0 20").unwrap();
        assert_eq!(stat.parent_pid(), Some(3));
        assert_eq!(stat.cpu_ticks(), Some(175));
    }

    #[test]
    fn a_family_is_a_process_and_all_below_it() {
        let parents = [(1, 0), (2, 1), (3, 2), (4, 1), (5, 3), (9, 4)];
        assert_eq!(descendants(2, &parents), [2, 3, 5]);
    }

    #[test]
    fn idle_time_is_no_work() {
        assert_eq!(busy_ticks("cpu  10 1 5 1000 500 2 3 7 0 0"), Some(21));
        assert_eq!(busy_ticks("cpu  10 1"), None);
    }

    #[test]
    fn this_process_is_known() {
        let me = std::process::id();
        assert_eq!(process_tree(me).first(), Some(&me));
        let process = process_info(me).unwrap();
        assert!(process.memory.resident_kib >= process.memory.anonymous_kib);
        assert!(process.memory.anonymous_kib > 0 && process.binary_bytes > 0);
    }
}
