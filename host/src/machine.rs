//! The resources of this process: memory, mappings, descriptors, threads and cores.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread::available_parallelism;

use device::ProcessQuota;
use nbdbox_config::config::Portion;
use rustix::fs::Dir;

/// The share of the memory that tenants may have together. The rest is for the program, for the kernel's sockets and
/// page tables, and for what no meter counts.
const MEMORY_PARTS: (u64, u64) = (4, 5);

/// The share of the mappings that tenants may have together; compiled code, threads and large buffers take some too.
const MAPPING_PARTS: (u64, u64) = (3, 4);

/// The mappings that Linux gives a process by default (vm.max_map_count).
const DEFAULT_MAPPINGS: u64 = 65_530;

/// What the kernel reports, looked up once.
static KERNEL: LazyLock<Kernel> = LazyLock::new(Kernel::look);

/// The kernel's figures of the machine, and open files with its figures of this process. They are opened early because
/// behind walls no file can be.
struct Kernel {
    cores: usize,
    memory: u64,
    mappings: u64,
    status: Option<Mutex<File>>,
    maps: Option<Mutex<File>>,
    descriptors: Option<Mutex<Dir>>,
}

impl Kernel {
    fn look() -> Self {
        let open = |path| File::open(path).ok().map(Mutex::new);
        let descriptors = File::open("/proc/self/fd").and_then(|folder| Ok(Dir::new(folder)?));
        Self {
            // Fewer if affinity or the control group limits them.
            cores: available_parallelism().map_or(1, usize::from),
            memory: available_memory(),
            mappings: number("/proc/sys/vm/max_map_count").unwrap_or(DEFAULT_MAPPINGS),
            status: open("/proc/self/status"),
            maps: open("/proc/self/maps"),
            descriptors: descriptors.ok().map(Mutex::new),
        }
    }

    fn status(&self) -> Option<String> {
        String::from_utf8(again(self.status.as_ref()?)?).ok()
    }
}

/// The contents of a file of the kernel at this time.
fn again(file: &Mutex<File>) -> Option<Vec<u8>> {
    // A panic can only leave the file at any offset, and the next lines reset it.
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    let mut bytes = Vec::new();
    file.rewind().ok()?;
    file.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Opens all files of the kernel that are needed later. Must be called before the walls close.
pub(crate) fn prepare() {
    LazyLock::force(&KERNEL);
}

/// What tenants may have of this machine: `memory` bytes, or four fifths of what the process can get. The first call
/// reads files of the kernel.
pub(crate) fn budget(memory: Option<u64>) -> Arc<ProcessQuota> {
    budget_of(memory, Portion::WHOLE)
}

/// As [`budget`], for a process that shares the memory with others.
pub(crate) fn budget_of(memory: Option<u64>, portion: Portion) -> Arc<ProcessQuota> {
    let memory = portion.of(memory_budget(memory));
    ProcessQuota::new(memory, part(max_mappings(), MAPPING_PARTS))
}

/// The bytes that tenants may have: `memory`, or four fifths of what the process can get.
pub(crate) fn memory_budget(memory: Option<u64>) -> u64 {
    memory.unwrap_or_else(|| part(KERNEL.memory, MEMORY_PARTS))
}

/// The resident memory of the process in bytes; `None` if the kernel doesn't report it.
pub(crate) fn resident() -> Option<u64> {
    bytes_of("VmRSS:", &KERNEL.status()?)
}

/// The mappings of the process; `None` if the kernel doesn't report them.
pub(crate) fn mappings() -> Option<u64> {
    let maps = again(KERNEL.maps.as_ref()?)?;
    Some(maps.iter().filter(|byte| **byte == b'\n').count() as u64)
}

/// The open descriptors of the process; `None` if the kernel doesn't report them.
pub(crate) fn descriptors() -> Option<u64> {
    let folder = KERNEL.descriptors.as_ref()?;
    let mut folder = folder.lock().unwrap_or_else(PoisonError::into_inner);
    folder.rewind();
    let entries = folder.by_ref().flatten();
    // Every folder has these two.
    let numbers = entries.filter(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."));
    Some(numbers.count() as u64)
}

/// The descriptors that the process may have open; `None` if there's no limit.
pub(crate) fn max_descriptors() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// The threads of the process; `None` if the kernel doesn't report them.
pub(crate) fn threads() -> Option<u64> {
    let status = KERNEL.status()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))?;
    line.trim().parse().ok()
}

/// The cores that the process may use: those of the machine, or fewer if affinity or a quota limits them.
pub(crate) fn cores() -> usize {
    KERNEL.cores
}

/// The worker threads of a server: one for each core, two at least, so that one that writes to a file leaves another one
/// to the clients.
pub(crate) fn workers() -> usize {
    cores().max(2)
}

/// The connections that may poll their sockets at once: at most on half of the cores, so that the others are left to
/// clients; on a single core that is the one. None if a quota of the control group limits the process to fewer cores than
/// it may run on, since polling would use the quota up.
pub(crate) fn pollers() -> usize {
    let may_run_on = rustix::thread::sched_getaffinity(None).map_or(0, |set| set.count() as usize);
    match cores() < may_run_on {
        true => 0,
        false => (cores() / 2).max(1),
    }
}

/// The mappings that the kernel allows a process.
pub(crate) fn max_mappings() -> u64 {
    KERNEL.mappings
}

const fn part(whole: u64, (parts, of): (u64, u64)) -> u64 {
    whole / of * parts
}

/// The machine's memory in bytes, or less if a control group limits it.
fn available_memory() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let machine = bytes_of("MemTotal:", &machine).unwrap_or(u64::MAX);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups).filter_map(number);
    limits.fold(machine, u64::min)
}

/// The number in a file of the kernel; `None` for words such as `max`.
fn number(file: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The value of a line of `/proc/meminfo` or `/proc/self/status`, in bytes.
fn bytes_of(name: &str, text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The files that may limit the memory of the groups in `/proc/self/cgroup` and of all groups around them: a group has
/// no more than the one around it. A container may see its own group as the root.
fn limit_files(groups: &str) -> impl Iterator<Item = PathBuf> {
    groups.lines().flat_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            return Vec::new();
        };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return Vec::new(),
        };
        let group = Path::new(group.trim_start_matches('/'));
        let around = group.ancestors();
        around
            .map(|group| Path::new(root).join(group).join(name))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read() {
        let meminfo = "MemFree:         100 kB\nMemTotal:        8038400 kB\n";
        assert_eq!(bytes_of("MemTotal:", meminfo), Some(8_038_400 << 10));
        assert_eq!(bytes_of("MemTotal:", "MemTotal: much"), None);
        assert!(available_memory() > 16 << 20 && available_memory() < u64::MAX);
    }

    #[test]
    fn the_limits_of_all_groups_around_a_group_count() {
        let files = |groups| {
            limit_files(groups)
                .map(|file| file.display().to_string())
                .collect::<Vec<_>>()
        };
        let unified = [
            "/sys/fs/cgroup/system.slice/nbdbox.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(files("0::/system.slice/nbdbox.service\n"), unified);
        let first = [
            "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ];
        assert_eq!(files("5:cpu,cpuacct:/docker\n4:memory:/docker\n"), first);
        assert_eq!(files("nonsense"), [""; 0]);
    }

    #[test]
    fn the_kernels_figures_of_the_process_are_read() {
        assert!(resident().unwrap() > 1 << 20);
        let mappings = mappings().unwrap();
        assert!(mappings > 10 && mappings < max_mappings());
        assert!(threads().unwrap() > 1, "the test's and the harness'");
        let descriptors = descriptors().unwrap();
        assert!(descriptors > 2 && max_descriptors().is_none_or(|most| descriptors < most));
    }

    #[test]
    fn the_operators_memory_counts() {
        assert_eq!(memory_budget(Some(1 << 30)), 1 << 30);
        assert_eq!(budget(Some(1 << 30)).memory.limit(), 1 << 30);
        assert_eq!(part(10, MEMORY_PARTS), 8);
    }
}
