//! The programs that hold locks of a file. It reads `/proc`, since fcntl(2) names no holder of an open file description
//! lock.

use std::fs;
use std::ops::Range;
use std::path::Path;

/// The most programs that the text names: what fits into a line of the log.
const NAMED: usize = 3;

/// The programs that hold locks of these bytes of the file with this inode, as a text for people: `pid 7 (qemu-nbd)`.
/// Sees only processes that this account may inspect. Reads all of `/proc`, and blocks meanwhile.
pub(crate) fn of(inode: u64, bytes: &Range<u64>) -> String {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let holders = processes.filter_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let folder = process.path();
        holds(&folder, inode, bytes).then(|| words(pid, &folder))
    });
    let holders: Vec<String> = holders.take(NAMED).collect();
    match &holders[..] {
        [] => "another program, which this account can't inspect".to_owned(),
        some => some.join(", "),
    }
}

fn words(pid: u32, folder: &Path) -> String {
    if pid == std::process::id() {
        return format!("pid {pid} (this process)");
    }
    let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
    // A process chooses its own name, which must not reach the operator's terminal as escapes.
    let name: String = name.trim_end().chars().map(printable).collect();
    format!("pid {pid} ({name})")
}

fn printable(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}

fn holds(process: &Path, inode: u64, bytes: &Range<u64>) -> bool {
    let files = fs::read_dir(process.join("fdinfo")).into_iter().flatten();
    files.flatten().any(|file| {
        let info = fs::read_to_string(file.path()).unwrap_or_default();
        info.lines().any(|line| is_lock_of(line, inode, bytes))
    })
}

/// Whether a line of proc_pid_fdinfo(5) is a lock of some of these bytes of this file:
/// `lock: 1: OFDLCK ADVISORY READ -1 fd:01:1234 100 100`. Doesn't compare the device, because file systems with volumes
/// (btrfs, for example) show another one there.
fn is_lock_of(line: &str, inode: u64, bytes: &Range<u64>) -> bool {
    let Some(lock) = line.strip_prefix("lock:") else {
        return false;
    };
    let mut words = lock.split_whitespace().skip(5);
    let place = words.next().and_then(|place| place.rsplit(':').next());
    let bounds = (words.next(), words.next());
    let (Some(place), (Some(start), Some(end))) = (place, bounds) else {
        return false;
    };
    // The end is the last byte, or `EOF`.
    let (Ok(start), end) = (start.parse::<u64>(), end.parse().unwrap_or(u64::MAX)) else {
        return false;
    };
    place.parse() == Ok(inode) && start < bytes.end && end >= bytes.start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_found_by_its_inode_and_range() {
        for (line, is) in [
            (
                "lock:\t1: OFDLCK  ADVISORY  READ -1 fd:01:1234 100 100",
                true,
            ),
            ("lock:\t2: POSIX  ADVISORY  WRITE 77 00:2a:1234 0 EOF", true),
            (
                "lock:\t1: OFDLCK  ADVISORY  READ -1 fd:01:123 100 100",
                false,
            ),
            ("lock:\t1: OFDLCK  ADVISORY  READ -1 fd:01:1234 9 9", false),
            ("lock:\t1: OFDLCK", false),
            ("pos:\t1234", false),
        ] {
            assert_eq!(is_lock_of(line, 1234, &(100..204)), is, "{line}");
        }
    }
}
