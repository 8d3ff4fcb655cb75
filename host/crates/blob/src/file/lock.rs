//! Locks of a file, at the bytes that QEMU uses (block/file-posix.c), so that each program respects the other's locks.
//!
//! A user of a file holds a read lock on byte 100 + n for each permission n that it uses, and on byte 200 + n for each
//! permission that it denies others. Then it checks whether others hold the opposite. All locks belong to the open file
//! description: they end with it, however the process ends, and conflict with those of the process's other
//! descriptions.

use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use nbdbox_config::lock::Lock;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// The first byte for permissions in use.
const DONE: u8 = 100;

/// The first byte for permissions denied to others.
const UNSHARED: u8 = 200;

/// The first byte after all of these.
const END: u8 = UNSHARED + RESIZE + 1;

/// Reads that require consistent bytes (`BLK_PERM_CONSISTENT_READ`).
const READ: u8 = 0;
const WRITE: u8 = 1;
const RESIZE: u8 = 3;

/// How long another holder has time to give up its lock: a server that is exiting, or `qemu-img info`.
const PATIENCE: Duration = Duration::from_secs(2);

/// The result of a request for a lock.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The lock is held until the file is closed.
    Held,
    /// Another holder excludes this lock, or is excluded by it.
    Refused,
    /// The file system doesn't support locks.
    Unknown,
}

/// Locks an open file that is read, and written if it's `writable`. Blocks for up to two seconds while others hold a
/// conflicting lock.
///
/// # Errors
/// The kernel's error; then the file isn't locked.
pub(super) fn take(file: &File, writable: bool, lock: Lock) -> Result<Outcome, Errno> {
    let Some(claim) = Claim::of(writable, lock) else {
        return Ok(Outcome::Held);
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match claim.try_take(file) {
            Ok(Outcome::Refused) if Instant::now() < deadline => thread::sleep(pause()),
            // The errors of NFS, FUSE and old kernels.
            Err(Errno::EINVAL | Errno::ENOLCK | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
                return Ok(Outcome::Unknown);
            }
            done => return done,
        }
    }
}

/// The time until the next try. Two processes that try at once may both be refused, so their pauses differ.
fn pause() -> Duration {
    Duration::from_millis(u64::from(20 + std::process::id() % 37))
}

/// The permissions that a user of a file uses, and those that it denies others.
struct Claim {
    done: &'static [u8],
    unshared: &'static [u8],
}

impl Claim {
    fn of(writable: bool, lock: Lock) -> Option<Self> {
        let unshared: &[u8] = match lock {
            Lock::Exclusive => &[WRITE, RESIZE],
            Lock::Shared => &[],
            Lock::None => return None,
        };
        let done: &[u8] = if writable { &[READ, WRITE] } else { &[READ] };
        Some(Self { done, unshared })
    }

    /// Locks first and then checks, so that of two processes that do so at once at least one is refused.
    fn try_take(&self, file: &File) -> Result<Outcome, Errno> {
        let taken = self.lock(file).and_then(|()| self.is_opposed(file));
        if taken != Ok(false) {
            set(file, libc::F_UNLCK, DONE, END - DONE)?;
        }
        Ok(match taken? {
            true => Outcome::Refused,
            false => Outcome::Held,
        })
    }

    fn lock(&self, file: &File) -> Result<(), Errno> {
        let done = self.done.iter().map(|n| DONE + n);
        let unshared = self.unshared.iter().map(|n| UNSHARED + n);
        done.chain(unshared)
            .try_for_each(|byte| set(file, libc::F_RDLCK, byte, 1))
    }

    fn is_opposed(&self, file: &File) -> Result<bool, Errno> {
        let refusing = self.done.iter().map(|n| UNSHARED + n);
        let doing = self.unshared.iter().map(|n| DONE + n);
        for byte in refusing.chain(doing) {
            if is_held(file, byte)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Sets or removes a lock. Only a program that takes write locks can refuse these read locks.
fn set(file: &File, kind: libc::c_int, start: u8, length: u8) -> Result<(), Errno> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&range(kind, start, length))).map(drop)
}

/// Whether another description has a lock on this byte.
fn is_held(file: &File, byte: u8) -> Result<bool, Errno> {
    let mut found = range(libc::F_WRLCK, byte, 1);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    Ok(libc::c_int::from(found.l_type) != libc::F_UNLCK)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "small constants of the kernel's"
)]
fn range(kind: libc::c_int, start: u8, length: u8) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start.into(),
        l_len: length.into(),
        // Required for locks of an open file description.
        l_pid: 0,
    }
}

/// The bytes of all of these locks.
pub(super) const BYTES: std::ops::Range<u64> = DONE as u64..END as u64;

#[cfg(test)]
mod tests {
    use tempfile::NamedTempFile;

    use super::*;

    /// The result for a second description, while a first one holds its lock.
    fn second(first: (bool, Lock), second: (bool, Lock)) -> Outcome {
        let file = NamedTempFile::new().unwrap();
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .open(file.path())
                .unwrap()
        };
        let (one, two) = (open(), open());
        assert_eq!(take(&one, first.0, first.1), Ok(Outcome::Held));
        match Claim::of(second.0, second.1) {
            Some(claim) => claim.try_take(&two).unwrap(),
            None => Outcome::Held,
        }
    }

    #[test]
    fn a_writer_has_the_file_for_itself_unless_it_shares_it() {
        use Lock::{Exclusive, None, Shared};
        let (rw, ro) = (true, false);
        for (one, two, outcome) in [
            ((rw, Exclusive), (rw, Exclusive), Outcome::Refused),
            ((rw, Exclusive), (rw, Shared), Outcome::Refused),
            ((rw, Shared), (rw, Exclusive), Outcome::Refused),
            ((rw, Shared), (rw, Shared), Outcome::Held),
            ((rw, Exclusive), (rw, None), Outcome::Held),
            ((rw, Exclusive), (ro, Shared), Outcome::Held),
            ((ro, Shared), (rw, Exclusive), Outcome::Held),
            ((ro, Exclusive), (rw, Shared), Outcome::Refused),
            ((ro, Exclusive), (ro, Exclusive), Outcome::Held),
        ] {
            assert_eq!(second(one, two), outcome, "{one:?}, {two:?}");
        }
    }

    #[test]
    fn a_lock_that_was_refused_leaves_nothing_behind() {
        let file = NamedTempFile::new().unwrap();
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .open(file.path())
                .unwrap()
        };
        let (reader, writer) = (open(), open());
        let exclusive = |writable| Claim::of(writable, Lock::Exclusive).unwrap();
        assert_eq!(exclusive(false).try_take(&reader), Ok(Outcome::Held));
        assert_eq!(exclusive(true).try_take(&writer), Ok(Outcome::Refused));
        for byte in DONE..END {
            let of_the_reader = [DONE + READ, UNSHARED + WRITE, UNSHARED + RESIZE];
            let third = open();
            assert_eq!(is_held(&third, byte), Ok(of_the_reader.contains(&byte)));
        }
    }

    #[test]
    fn a_lock_that_is_given_up_in_time_is_waited_for() {
        let file = NamedTempFile::new().unwrap();
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .open(file.path())
                .unwrap()
        };
        let (first, second) = (open(), open());
        assert_eq!(take(&first, true, Lock::Exclusive), Ok(Outcome::Held));
        let claim = Claim::of(true, Lock::Exclusive).unwrap();
        assert_eq!(claim.try_take(&second), Ok(Outcome::Refused));
        let taken = thread::scope(|scope| {
            let taken = scope.spawn(|| take(&second, true, Lock::Exclusive));
            drop(first);
            taken.join().unwrap()
        });
        assert_eq!(taken, Ok(Outcome::Held));
    }
}
