//! Processor time and memory of processes on this machine, from /proc. A process that runs elsewhere is not found.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// Linux reports processor time in hundredths of a second, on every architecture that Rust's services run on.
const TICK: Duration = Duration::from_millis(10);

/// Some processes that are reported as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Processes(BTreeSet<u32>);

/// Memory of the largest of some processes, in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    pub(crate) peak: f64,
}

impl Processes {
    pub(crate) fn one(pid: u32) -> Self {
        Self(BTreeSet::from([pid]))
    }

    pub(crate) fn own() -> Self {
        Self::one(std::process::id())
    }

    /// The processes of pods with these uids.
    pub(crate) fn of_pods(uids: &[String]) -> Self {
        // The systemd driver writes underscores.
        let names: Vec<String> = uids.iter().flat_map(|uid| [uid.clone(), uid.replace('-', "_")]).collect();
        Self::matching(|pid| {
            let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            names.iter().any(|name| cgroup.contains(name))
        })
    }

    /// The processes of a program with all of these words in its command line.
    pub(crate) fn of_program(program: &str, words: &[&str]) -> Self {
        Self::matching(|pid| {
            let line = command_line(pid);
            let name = line.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
            name == program && words.iter().all(|word| line.iter().any(|part| part.contains(word)))
        })
    }

    /// This process and those that it started, and they started.
    pub(crate) fn with_descendants(self) -> Self {
        let mut all = self.0;
        loop {
            let before = all.len();
            let children = Self::matching(|pid| parent(pid).is_some_and(|parent| all.contains(&parent)));
            all.extend(children.0);
            if all.len() == before {
                return Self(all);
            }
        }
    }

    /// The value of a flag in their command lines: `--flag=value` or `--flag value`.
    pub(crate) fn flag(&self, flag: &str) -> Option<String> {
        self.0.iter().find_map(|pid| {
            let line = command_line(*pid);
            let at = line.iter().position(|part| part == flag || part.starts_with(&format!("{flag}=")))?;
            match line.get(at)?.split_once('=') {
                Some((_, value)) => Some(value.to_owned()),
                None => line.get(at + 1).cloned(),
            }
        })
    }

    pub(crate) fn are_here(&self) -> bool {
        !self.0.is_empty()
    }

    /// Processor time so far, that of children which ended included.
    pub(crate) fn cpu(&self) -> Duration {
        self.0.iter().filter_map(|pid| cpu_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).sum()
    }

    pub(crate) fn memory(&self) -> Memory {
        let memories = self.0.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
        memories.map(|status| memory_of(&status)).fold(Memory::default(), |largest, memory| {
            if memory.resident > largest.resident { memory } else { largest }
        })
    }

    fn matching(is_wanted: impl Fn(u32) -> bool) -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Self(pids.filter(|pid| is_wanted(*pid)).collect())
    }
}

/// What all processors of this machine did, idle time aside.
pub(crate) fn machine_cpu() -> Duration {
    busy_of(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

fn command_line(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// User and system time, own and of ended children; the program's name before them may hold anything.
fn cpu_of(stat: &str) -> Option<Duration> {
    let fields = stat.rsplit_once(") ")?.1.split(' ').skip(11).take(4);
    let ticks = fields.map(|ticks| ticks.parse::<u32>().ok()).sum::<Option<u32>>()?;
    Some(TICK * ticks)
}

/// `cpu  user nice system idle iowait irq softirq steal …`: what other machines stole is none of ours.
fn busy_of(stat: &str) -> Duration {
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks = fields.enumerate().filter(|(column, _)| !matches!(column, 3 | 4 | 7..));
    TICK * ticks.filter_map(|(_, value)| value.parse::<u32>().ok()).sum::<u32>()
}

fn memory_of(status: &str) -> Memory {
    let read = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u32>().ok());
        f64::from(kibibytes.unwrap_or_default()) / 1024.0
    };
    Memory { resident: read("VmRSS:"), peak: read("VmHWM:") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_read_as_proc_writes_them() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 1 2 3 4 150 40 7 3 20 0 4 0 99 1000 100";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(2)));
        assert_eq!(busy_of("cpu  100 0 50 9000 10 20 30 5 7 0\ncpu0 1 1 1 1"), Duration::from_secs(2));
        let status = "Name:\tx\nVmHWM:\t   4096 kB\nVmRSS:\t    2048 kB\n";
        assert_eq!(memory_of(status), Memory { resident: 2.0, peak: 4.0 });
    }
}
