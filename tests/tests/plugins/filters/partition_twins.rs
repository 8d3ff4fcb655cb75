//! The plugin `partition` and the filter `partition-filter` over the same disks: both find the partitions that Linux's
//! tools list, under the same numbers, and refuse the rest with the same text.

use std::collections::BTreeMap;
use std::thread;

use nbd_proto::Framing;
use nbdbox_tests::{Client, Disk, Server, plugin, shell};

use super::partition_tables::SECTOR;

/// The place of each partition, by its number: the first sector and the number of sectors, of 512 bytes.
pub(super) type Partitions = BTreeMap<u64, (u64, u64)>;

/// A tool that lists the partitions of a disk. Each has its weak points, so a case names the tools that it uses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tool {
    /// libfdisk. It reads one partition of a link, and only sectors of 512 bytes.
    Sfdisk,
    /// libblkid, which follows the kernel.
    Partx,
    /// libblkid, for a disk with sectors of 4096 bytes.
    Partx4096,
    /// libparted, if it's installed.
    Parted,
}

impl Tool {
    /// The tool's list; `None` if the tool isn't installed.
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

/// The place at which a twin finds a partition, or the text of its refusal.
pub(super) fn ask(twin: &str, disk: &Disk, number: u64, more: &str) -> Result<(u64, u64), String> {
    let program = plugin(twin).display().to_string();
    let file = plugin("file").display().to_string();
    let grant = format!("disk={}:ro", disk.path().display());
    let mut words = vec!["--blob".to_owned(), grant];
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
    let server = Server::try_start(words).map_err(|exit| exit.log)?;
    let mut client = Client::connect(&server.socket(), Framing::Structured);
    let count = client.size() / SECTOR;
    // Each sector begins with its own number.
    let mut number = |sector: u64| {
        let read = client.read(sector * SECTOR, 8).unwrap();
        u64::from_le_bytes(read.try_into().unwrap())
    };
    let (first, last) = (number(0), number(count - 1));
    assert_eq!(last, first + count - 1, "{}", server.log());
    assert!(!server.log().contains("refused"), "{}", server.log());
    Ok((first, count))
}

/// Starts both twins at once.
pub(super) fn ask_both(disk: &Disk, number: u64, more: &str) -> [Result<(u64, u64), String>; 2] {
    thread::scope(|scope| {
        let asked = TWINS.map(|twin| scope.spawn(move || ask(twin, disk, number, more)));
        asked.map(|asked| asked.join().unwrap())
    })
}

/// Asserts that both twins find the partitions that the tools list, and nothing under the next number. Returns the
/// list.
pub(super) fn assert_listed(what: &str, bytes: &[u8], tools: &[Tool]) -> Partitions {
    let disk = Disk::holding(bytes);
    let lists: Vec<Partitions> = tools.iter().filter_map(|tool| tool.list(&disk)).collect();
    let list = lists.first().unwrap();
    assert!(!list.is_empty(), "{what}: {tools:?} list nothing");
    for (tool, other) in tools.iter().zip(&lists) {
        assert_eq!(other, list, "{what}: {tool:?}");
    }
    let last = *list.keys().last().unwrap();
    for number in (1..=last + 1).filter(|number| *number < 12 || *number + 2 > last) {
        for (twin, got) in TWINS.iter().zip(ask_both(&disk, number, "")) {
            match (got, list.get(&number)) {
                (Ok(got), Some(place)) => assert_eq!(got, *place, "{what}: {number} of {twin}"),
                (Err(words), None) => assert!(
                    words.contains("there is no such partition"),
                    "{what}: {number} of {twin}: {words}"
                ),
                (got, listed) => panic!("{what}: {number} of {twin}: {got:?}, listed: {listed:?}"),
            }
        }
    }
    list.clone()
}

/// Asserts that both twins refuse a partition with this text.
pub(super) fn assert_refused(bytes: &[u8], number: u64, more: &str, words: &str) {
    let disk = Disk::holding(bytes);
    for (twin, said) in TWINS.iter().zip(ask_both(&disk, number, more)) {
        let said = said.unwrap_err();
        assert!(said.contains(words), "{number} of {twin}: {words}: {said}");
    }
}
