//! Which files of a cache's folder stay: what was used last, up to a size.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::TempPath;

/// How the files of compiled code end.
pub(super) const ENDING: &str = "cwasm";

/// How files begin that aren't whole yet.
const UNFINISHED: &str = ".compiling-";

/// A file that isn't whole yet, and a claim to it: for as long as a process holds the claim no other one removes the
/// file.
struct Unfinished {
    path: TempPath,
    file: File,
}

impl Unfinished {
    /// Makes one.
    ///
    /// # Errors
    /// The folder can't be written to.
    fn create(folder: &Path) -> io::Result<Self> {
        loop {
            let made = tempfile::Builder::new()
                .prefix(UNFINISHED)
                .tempfile_in(folder)?;
            let (file, path) = made.into_parts();
            // A process that starts may have come first: it takes an unclaimed file for one of a killed server.
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => continue,
                Ok(()) if !path.exists() => continue,
                // Where the file system knows no locks nobody else can tell, and nobody removes anything.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(Self { path, file }),
            }
        }
    }
}

/// Copies code into the folder of `path`, under that name, and makes room for it. Returns its file; `None` if it's larger
/// than `most`: it would throw out all else, and then itself. Blocks.
///
/// # Errors
/// The folder can't be written to, or has no room: nothing of the code stays there.
pub(super) fn keep(code: &mut File, path: &Path, most: u64) -> io::Result<Option<File>> {
    if code.metadata()?.len() > most {
        return Ok(None);
    }
    let folder = path.parent().unwrap_or(path);
    let mut unfinished = Unfinished::create(folder)?;
    code.seek(SeekFrom::Start(0))?;
    io::copy(code, &mut unfinished.file)?;
    // It will be run as it is: no crash of the machine may leave half of it under its final name.
    unfinished.file.sync_all()?;
    unfinished.path.persist(path)?;
    shrink(folder, most)?;
    Ok(Some(unfinished.file))
}

/// Removes the files that servers left that were killed. Those that somebody holds stay.
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
        // Whoever can't open or remove it will be told by those who need the room.
        let Ok(file) = File::open(entry.path()) else {
            continue;
        };
        if file.try_lock().is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Compiled code in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    path: PathBuf,
    used: SystemTime,
    bytes: u64,
}

/// Removes what was used longest ago, until the rest takes `most` bytes at most. A file that a process has mapped
/// stays mapped.
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
        // Another process may have removed it.
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

/// Takes note that a file was used.
pub(super) fn note_use(file: &File) {
    // Without it the file goes sooner than it should, and that's all.
    let _ = file.set_modified(SystemTime::now());
}

/// What has to go, so that the rest takes `most` bytes at most: what was used longest ago.
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
    fn what_was_used_longest_ago_goes_first() {
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
    fn what_a_killed_server_left_goes_and_what_is_held_stays() {
        let folder = tempfile::tempdir().unwrap();
        let held = Unfinished::create(folder.path()).unwrap();
        let left = folder.path().join(format!("{UNFINISHED}left"));
        let other = folder.path().join("notes");
        fs::write(&left, "half").unwrap();
        fs::write(&other, "mine").unwrap();
        remove_abandoned(folder.path()).unwrap();
        assert!(held.path.exists() && other.exists() && !left.exists());
        // A killed process' claim is gone with it.
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
