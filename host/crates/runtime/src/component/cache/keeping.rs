//! Which files a cache's folder keeps: the most recently used ones, up to a size.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::TempPath;

/// The extension of files with compiled code.
pub(super) const ENDING: &str = "cwasm";

/// The prefix of unfinished files.
const UNFINISHED: &str = ".compiling-";

/// An unfinished file, and a lock on it. While a process holds the lock, no other process removes the file.
struct Unfinished {
    path: TempPath,
    file: File,
}

impl Unfinished {
    /// Makes an unfinished file and locks it. Blocks.
    ///
    /// # Errors
    /// The folder can't be written to.
    fn create(folder: &Path) -> io::Result<Self> {
        loop {
            let made = tempfile::Builder::new()
                .prefix(UNFINISHED)
                .tempfile_in(folder)?;
            let (file, path) = made.into_parts();
            // A process that starts may have been faster: it takes an unlocked file for one that a killed server left.
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => continue,
                Ok(()) if !path.exists() => continue,
                // On a file system without locks no process can lock a file, so none removes any.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(Self { path, file }),
            }
        }
    }
}

/// Copies code into the folder of `path` under that name, and makes room for it. Returns the new file; `None` if the
/// code is larger than `most` bytes, because it would evict all others and then itself. Blocks.
///
/// # Errors
/// The folder can't be written to, or has no room. Nothing of the code stays there.
pub(super) fn keep(code: &mut File, path: &Path, most: u64) -> io::Result<Option<File>> {
    if code.metadata()?.len() > most {
        return Ok(None);
    }
    let folder = path.parent().unwrap_or(path);
    let mut unfinished = Unfinished::create(folder)?;
    code.seek(SeekFrom::Start(0))?;
    io::copy(code, &mut unfinished.file)?;
    // The host will run the code as it is, so a crash of the machine mustn't leave half of it under its final name.
    unfinished.file.sync_all()?;
    unfinished.path.persist(path)?;
    shrink(folder, most)?;
    Ok(Some(unfinished.file))
}

/// Removes the unfinished files of killed servers, but none that a process has locked. Blocks.
///
/// # Errors
/// The folder can't be read.
pub(super) fn remove_abandoned(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            continue;
        }
        // A file that can't be opened or removed shows as an error where its room is needed.
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        if file.try_lock().is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// A file of compiled code in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    path: PathBuf,
    used: SystemTime,
    bytes: u64,
}

/// Removes the least recently used files, until the rest takes at most `most` bytes. A file that a process has mapped
/// stays mapped. Blocks.
///
/// # Errors
/// The folder can't be read, or a file can't be removed.
pub(super) fn shrink(folder: &Path, most: u64) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != ENDING) {
            continue;
        }
        // Another process may have removed the file.
        if let Ok(metadata) = fs::metadata(&path) {
            kept.push(Kept {
                used: metadata.modified()?,
                bytes: metadata.len(),
                path,
            });
        }
    }
    for path in surplus(kept, most) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Notes that a file was used, in its modification time.
pub(super) fn note_use(file: &File) {
    // If that fails, the cache only evicts the file sooner.
    let _ = file.set_modified(SystemTime::now());
}

/// The least recently used files, whose removal leaves at most `most` bytes.
fn surplus(mut kept: Vec<Kept>, most: u64) -> impl Iterator<Item = PathBuf> {
    kept.sort_by(|one, other| (other.used, &other.path).cmp(&(one.used, &one.path)));
    let mut sum = 0u64;
    kept.into_iter()
        .skip_while(move |kept| {
            sum = sum.saturating_add(kept.bytes);
            sum <= most
        })
        .map(|kept| kept.path)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn kept(name: &str, age: u64, bytes: u64) -> Kept {
        Kept {
            path: name.into(),
            used: SystemTime::UNIX_EPOCH + Duration::from_secs(1000 - age),
            bytes,
        }
    }

    #[test]
    fn the_least_recently_used_file_goes_first() {
        let all = || {
            vec![
                kept("old", 9, 10),
                kept("new", 1, 10),
                kept("middle", 5, 10),
            ]
        };
        let gone = |most| surplus(all(), most).collect::<Vec<_>>();
        assert_eq!(gone(30), [""; 0].map(PathBuf::from));
        assert_eq!(gone(29), ["old"].map(PathBuf::from));
        assert_eq!(gone(10), ["middle", "old"].map(PathBuf::from));
        assert_eq!(gone(9), ["new", "middle", "old"].map(PathBuf::from));
    }

    #[test]
    fn a_file_that_is_larger_than_all_room_does_not_overflow_the_sum() {
        let all = vec![kept("a", 1, u64::MAX), kept("b", 2, u64::MAX)];
        assert_eq!(surplus(all, 100).count(), 2);
    }

    #[test]
    fn abandoned_files_go_and_locked_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let held = Unfinished::create(folder.path()).unwrap();
        let left = folder.path().join(format!("{UNFINISHED}left"));
        let other = folder.path().join("notes");
        fs::write(&left, "half").unwrap();
        fs::write(&other, "mine").unwrap();
        remove_abandoned(folder.path()).unwrap();
        assert!(held.path.exists() && other.exists() && !left.exists());
        // A process that is killed loses its locks.
        let Unfinished { path, file } = held;
        drop(file);
        remove_abandoned(folder.path()).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_folder_shrinks_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, age: u64| {
            let path = folder.path().join(name);
            fs::write(&path, [0; 100]).unwrap();
            let used = SystemTime::now() - Duration::from_secs(age);
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(used)
                .unwrap();
            path
        };
        let (old, new, other) = (
            make("a.cwasm", 100),
            make("b.cwasm", 50),
            make("c.toml", 200),
        );
        shrink(folder.path(), 200).unwrap();
        assert!(old.exists() && new.exists());
        note_use(&File::open(&old).unwrap());
        shrink(folder.path(), 150).unwrap();
        assert!(old.exists() && !new.exists() && other.exists());
    }
}
