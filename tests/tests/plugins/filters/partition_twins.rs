//! The plugin `partition` and the filter `partition-filter` over the same disks: both find what Linux's tools
//! list, under the same numbers, and refuse the rest in the same words.

use std::collections::BTreeMap;

use nbdbox_tests::{Disk, Run, nbdbox, plugin, run, shell};

use super::partition_tables::SECTOR;

/// Where partitions are, by number: their first sector and how many there are, of 512 bytes.
type Partitions = BTreeMap<u64, (u64, u64)>;

/// Who lists the partitions of a disk. Each has its own weak points, so a case names whom it asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tool {
    /// libfdisk. It takes one partition of a link, and sectors of 512 bytes.
    Sfdisk,
    /// libblkid, which goes as the kernel does.
    Partx,
    /// The same, of a disk with sectors of 4096 bytes.
    Partx4096,
    /// libparted, where it's installed.
    Parted,
}

impl Tool {
    /// `None`: it isn't installed.
    fn list(self, disk: &Disk) -> Option<Partitions> {
        let path = disk.path().display().to_string();
        let partx = "partx -s -g -o NR,START,SECTORS";
        let script = match self {
            Self::Sfdisk => {
                let lines = "s/^.*disk([0-9]+) : start= *([0-9]+), size= *([0-9]+).*$/\\1 \\2 \\3/p";
                format!("sfdisk -d {path} | sed -En '{lines}'")
            }
            Self::Partx => format!("{partx} {path}"),
            Self::Partx4096 => format!("{partx} -S 4096 {path}"),
            Self::Parted => format!(
                "command -v parted >/dev/null || {{ echo missing; exit; }}
                 parted -s -m {path} unit s print | sed -En 's/^([0-9]+):([0-9]+)s:[0-9]+s:([0-9]+)s:.*$/\\1 \\2 \\3/p'"
            ),
        };
        let lines = shell(&format!("PATH=$PATH:/sbin:/usr/sbin; {script}")).ok();
        if lines.starts_with("missing") {
            return None;
        }
        let partition = |line: &str| {
            let mut words = line.split_whitespace().map(|word| word.parse().unwrap());
            let mut next = || words.next().unwrap();
            (next(), (next(), next()))
        };
        Some(lines.lines().map(partition).collect())
    }
}

/// The plugin and the filter.
pub(super) const TWINS: [&str; 2] = ["partition", "partition-filter"];

/// What a twin does with a partition: its place, or words.
pub(super) fn ask(twin: &str, disk: &Disk, number: u64, more: &str) -> Result<(u64, u64), String> {
    let program = plugin(twin).display().to_string();
    let file = plugin("file").display().to_string();
    let grant = format!("disk={}:ro", disk.path().display());
    let mut words = vec!["serve".to_owned(), "--blob".to_owned(), grant];
    if twin == "partition" {
        words.extend([program, format!("number={number}")]);
        words.extend((!more.is_empty()).then(|| more.to_owned()));
    } else {
        let more = if more.is_empty() {
            String::new()
        } else {
            format!(",{more}")
        };
        let filter = format!("{program},partition={number}{more}");
        words.extend(["--filter".to_owned(), filter, file]);
    }
    // Each sector begins with its own number.
    let look = "nbdcopy \"$uri\" - 2>/dev/null | od -An -N8 -tu8; nbdinfo --size \"$uri\"";
    words.extend(["--run".to_owned(), look.to_owned()]);
    let ran: Run = run(nbdbox(), words);
    if ran.code != 0 {
        return Err(ran.stderr);
    }
    let numbers: Vec<u64> = ran
        .stdout
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    assert!(!ran.stderr.contains("refused"), "{}", ran.stderr);
    Ok((numbers[0], numbers[1] / SECTOR))
}

/// Holds that both twins find what the tools list, and nothing under the number that comes next.
pub(super) fn assert_listed(what: &str, bytes: &[u8], tools: &[Tool]) {
    let disk = Disk::holding(bytes);
    let lists: Vec<Partitions> = tools.iter().filter_map(|tool| tool.list(&disk)).collect();
    let list = lists.first().unwrap();
    assert!(!list.is_empty(), "{what}: {tools:?} list nothing");
    for (tool, other) in tools.iter().zip(&lists) {
        assert_eq!(other, list, "{what}: {tool:?}");
    }
    let last = *list.keys().last().unwrap();
    for number in (1..=last + 1).filter(|number| *number < 12 || *number + 2 > last) {
        for twin in TWINS {
            match (ask(twin, &disk, number, ""), list.get(&number)) {
                (Ok(got), Some(place)) => assert_eq!(got, *place, "{what}: {number} of {twin}"),
                (Err(words), None) => assert!(
                    words.contains("there is no such partition"),
                    "{what}: {number} of {twin}: {words}"
                ),
                (got, listed) => panic!("{what}: {number} of {twin}: {got:?}, listed: {listed:?}"),
            }
        }
    }
}

/// Holds that both refuse a partition in these words.
pub(super) fn assert_refused(bytes: &[u8], number: u64, more: &str, words: &str) {
    let disk = Disk::holding(bytes);
    for twin in TWINS {
        let said = ask(twin, &disk, number, more).unwrap_err();
        assert!(said.contains(words), "{number} of {twin}: {words}: {said}");
    }
}
