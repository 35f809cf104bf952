//! The machine as the report describes it, and which of its cores serve and which generate load. Never the host's name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::record::Machine;

impl Machine {
    /// This machine; `folder` is where servers write.
    pub fn here(folder: &Path) -> Machine {
        let cpuinfo = read("/proc/cpuinfo");
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = read("/proc/meminfo");
        let kib =
            memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
        let system = read("/etc/os-release");
        let pretty = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        Machine {
            processor: field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: allowed_cores().len(),
            memory_bytes: kib.unwrap_or(0u64) * 1024,
            kernel: release(&read("/proc/sys/kernel/osrelease")),
            system: pretty.unwrap_or("Linux").trim_matches('"').to_owned(),
            guest: field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            settings: settings(),
            file_system: file_system(&read("/proc/self/mounts"), folder),
        }
    }

    /// A short name for folders: processor and cores.
    pub fn slug(&self) -> String {
        let mut slug = String::new();
        for word in self.processor.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).take(4) {
            slug.push_str(&word.to_lowercase());
            slug.push('-');
        }
        format!("{slug}{}-cores", self.cores)
    }

    /// One line for the report.
    pub fn line(&self) -> String {
        let guest = if self.guest { ", a virtual machine" } else { "" };
        let gib = self.memory_bytes as f64 / f64::from(1 << 30);
        format!("{}, {} cores, {gib:.0} GiB{guest}; {}, Linux {}", self.processor, self.cores, self.system, self.kernel)
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The kernel's numbers without what its builder added.
fn release(text: &str) -> String {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].trim_end_matches('.').to_owned()
}

/// What `scripts/tune-host` looks at.
fn settings() -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for (name, path) in [
        ("transparent huge pages", "/sys/kernel/mm/transparent_hugepage/enabled"),
        ("net.core.somaxconn", "/proc/sys/net/core/somaxconn"),
        ("vm.overcommit_memory", "/proc/sys/vm/overcommit_memory"),
        ("vm.swappiness", "/proc/sys/vm/swappiness"),
        ("frequency governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        ("rps_cpus of lo", "/sys/class/net/lo/queues/rx-0/rps_cpus"),
    ] {
        let text = read(path);
        let chosen = text.split(['[', ']']).nth(1).unwrap_or(&text).trim();
        if !chosen.is_empty() {
            settings.insert(name.to_owned(), chosen.to_owned());
        }
    }
    let limits = read("/proc/self/limits");
    for (name, line) in [("memlock", "Max locked memory"), ("open files", "Max open files")] {
        if let Some(soft) = limits.lines().find_map(|text| text.strip_prefix(line)?.split_whitespace().next()) {
            settings.insert(name.to_owned(), soft.to_owned());
        }
    }
    settings
}

/// The type of the file system that a folder lies on, in the text of /proc/self/mounts.
fn file_system(mounts: &str, folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mut best = (0, "unknown");
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (words.next(), words.next()) else { continue };
        if folder.starts_with(point) && point.len() >= best.0 {
            best = (point.len(), kind);
        }
    }
    best.1.to_owned()
}

/// The cores that this process may use, ascending.
pub fn allowed_cores() -> Vec<usize> {
    let status = read("/proc/self/status");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("0");
    let cores = core_list(list.trim());
    if cores.is_empty() { vec![0] } else { cores }
}

/// "0-2,5" as numbers.
fn core_list(text: &str) -> Vec<usize> {
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cores.extend(first..=last);
        }
    }
    cores
}

/// Which cores serve and which generate load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub server: Vec<usize>,
    pub generator: Vec<usize>,
}

impl Layout {
    /// The first `serving` of the cores serve and all others generate. With none left over, all do both.
    pub fn new(cores: &[usize], serving: usize) -> Layout {
        let (server, rest) = cores.split_at(serving.clamp(1, cores.len().max(1)).min(cores.len()));
        let generator = if rest.is_empty() { server } else { rest };
        Layout { server: server.to_vec(), generator: generator.to_vec() }
    }

    /// One core each, and one to spare if there is one: the load comes from one thread.
    pub fn one_each(cores: &[usize]) -> (Layout, Option<usize>) {
        let mut layout = Layout::new(cores, 1);
        let spare = layout.generator.get(1).copied();
        layout.generator.truncate(1);
        (layout, spare)
    }

    /// Server and generator share cores.
    pub fn shared(&self) -> bool {
        self.server.iter().any(|core| self.generator.contains(core))
    }

    /// All cores that take part, each once.
    pub fn all(&self) -> Vec<usize> {
        let mut all = self.server.clone();
        all.extend(self.generator.iter().filter(|core| !self.server.contains(core)));
        all
    }
}

/// How many cores serve in turn: 1, 2, 4 … and all.
pub fn core_steps(cores: usize) -> Vec<usize> {
    let mut steps: Vec<usize> = (0..).map(|power| 1 << power).take_while(|&step| step < cores).collect();
    steps.push(cores);
    steps
}

/// Today in UTC, year-month-day.
pub fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date_of(seconds / 86_400)
}

/// The date so many days after 1970-01-01. Years begin in March here, so that leap days come last.
fn date_of(days: u64) -> String {
    let day = days + 719_468;
    let era = day / 146_097;
    let of_era = day % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

/// What a program says of itself with `--version`: its first line.
pub fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (days, date) in [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_454, "2026-01-01")] {
            assert_eq!(date_of(days), date);
        }
    }

    #[test]
    fn cores_are_shared_out() {
        assert_eq!(core_list("0-2,5"), [0, 1, 2, 5]);
        let cores = [0, 1, 2, 5];
        assert_eq!(Layout::new(&cores, 3), Layout { server: vec![0, 1, 2], generator: vec![5] });
        let all = Layout::new(&cores, 4);
        assert!(all.shared() && all.generator.len() == 4 && all.all().len() == 4);
        let (one, spare) = Layout::one_each(&cores);
        assert_eq!((one.server, one.generator, spare), (vec![0], vec![1], Some(2)));
        let (lone, spare) = Layout::one_each(&[3]);
        assert!(lone.shared() && spare.is_none());
        assert_eq!(core_steps(1), [1]);
        assert_eq!(core_steps(2), [1, 2]);
        assert_eq!(core_steps(6), [1, 2, 4, 6]);
    }

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "a / ext4 rw 0 0\nb /nowhere tmpfs rw 0 0\nc /nowhere/deep xfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/nowhere/deep/er")), "xfs");
        assert_eq!(file_system(mounts, Path::new("/nowhere/else")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/other")), "ext4");
        assert_eq!(release("6.18.44-fc-v669\n"), "6.18.44");
    }

    #[test]
    fn a_slug_names_processor_and_cores() {
        let machine = Machine { processor: "AMD EPYC (tm) 9654 96-Core".to_owned(), cores: 2, ..Machine::default() };
        assert_eq!(machine.slug(), "amd-epyc-tm-9654-2-cores");
    }
}
