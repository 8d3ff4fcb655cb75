//! The operations themselves, done by the process that calls them. All of them block while the disk does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions as DiskOptions};
use rustix::fs::{FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};

/// The metadata of a path. Links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The number of the device that has the file.
    pub device: u64,
    /// The file's number on the device.
    pub inode: u64,
    /// The file's size in bytes.
    pub size: u64,
    /// The time of the last change of its bytes: seconds and nanoseconds since 1970.
    pub changed: (i64, i64),
    /// The file's kind.
    pub kind: EntryKind,
    /// The file's permissions, as chmod(2) has them.
    pub mode: u32,
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symlink, if the caller doesn't follow links.
    Link,
    /// A device, a socket or a pipe.
    Other,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The folder's path, and the entry's name.
    pub path: PathBuf,
    /// The kind of the entry itself. Links aren't followed.
    pub kind: EntryKind,
}

impl From<fs::FileType> for EntryKind {
    fn from(kind: fs::FileType) -> Self {
        match () {
            () if kind.is_file() => Self::File,
            () if kind.is_dir() => Self::Folder,
            () if kind.is_symlink() => Self::Link,
            () => Self::Other,
        }
    }
}

/// Looks at a path. Follows links.
pub(crate) fn look(path: &Path) -> io::Result<Seen> {
    let found = fs::metadata(path)?;
    Ok(Seen {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        changed: (found.mtime(), found.mtime_nsec()),
        kind: found.file_type().into(),
        mode: found.permissions().mode(),
    })
}

/// The entries of a folder, `most` at most, in no particular order.
pub(crate) fn list(folder: &Path, most: usize) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)?.take(most) {
        let entry = entry?;
        // Skips an entry that somebody has just removed.
        if let Ok(kind) = entry.file_type() {
            entries.push(Entry {
                path: entry.path(),
                kind: kind.into(),
            });
        }
    }
    Ok(entries)
}

/// Opens a regular file to read it. Checks the kind before it opens the file, because opening a pipe waits for a
/// writer.
pub(crate) fn read(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(path)
}

/// Opens a file to append to it, and creates it if it doesn't exist; `anew` empties it first.
pub(crate) fn append(path: &Path, anew: bool) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    if anew {
        file.set_len(0)?;
    }
    Ok(file)
}

/// Opens the reading end of a pipe that this process inherited as this descriptor. Reads of it don't block.
pub(crate) fn pipe(descriptor: u32) -> io::Result<OwnedFd> {
    // By its name in /proc, since only an unsafe call could make a file from a number.
    let path = format!("/proc/self/fd/{descriptor}");
    if FileType::from_raw_mode(rustix::fs::stat(&path)?.st_mode) != FileType::Fifo {
        return Err(io::Error::other("not a pipe"));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens a regular file or a block device to read it, and with `writable` to write it, too.
pub(crate) fn disk(path: &Path, writable: bool) -> io::Result<File> {
    // Follows the operator's links first. Then it opens a single name in its folder.
    let path = path.canonicalize()?;
    // Checks the kind before it opens the file, too, because opening a FIFO waits for a writer.
    check_type(rustix::fs::stat(&path)?.st_mode)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(ErrorKind::IsADirectory))?;
    let folder = Dir::open_ambient_dir(folder, ambient_authority())?;
    let mut options = DiskOptions::new();
    options.read(true).write(writable);
    let file = folder.open_with(name, &options)?.into_std();
    check_type(rustix::fs::fstat(&file)?.st_mode)?;
    Ok(file)
}

fn check_type(mode: rustix::fs::RawMode) -> io::Result<()> {
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile | FileType::BlockDevice => Ok(()),
        _ => Err(io::Error::other("neither a file nor a block device")),
    }
}

/// Encodes entries as bytes: `KIND NAME NUL`, one after the other.
pub(crate) fn pack(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        let name = entry.path.file_name().unwrap_or_default();
        bytes.push(match entry.kind {
            EntryKind::File => b'f',
            EntryKind::Folder => b'd',
            EntryKind::Link => b'l',
            EntryKind::Other => b'o',
        });
        bytes.extend(name.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// The entries of `folder` that [`pack`] encoded.
pub(crate) fn unpack(folder: &Path, bytes: &[u8]) -> Vec<Entry> {
    let entries = bytes.split(|byte| *byte == 0);
    let entries = entries.filter_map(|entry| {
        let (kind, name) = entry.split_first()?;
        let name = std::ffi::OsString::from_vec(name.to_vec());
        Some(Entry {
            path: folder.join(name),
            kind: match kind {
                b'f' => EntryKind::File,
                b'd' => EntryKind::Folder,
                b'l' => EntryKind::Link,
                _ => EntryKind::Other,
            },
        })
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_encoding() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("x", folder.path().join("link")).unwrap();
        let odd = std::ffi::OsStr::from_bytes(b"\xff odd\n");
        fs::write(folder.path().join(odd), "").unwrap();
        let entries = list(folder.path(), 100).unwrap();
        assert_eq!(entries.len(), 4);
        assert_eq!(unpack(folder.path(), &pack(&entries)), entries);
        assert_eq!(list(folder.path(), 2).unwrap().len(), 2);
    }

    #[test]
    fn pipes_and_folders_are_never_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        assert!(read(&pipe).is_err() && disk(&pipe, true).is_err());
        assert!(read(folder.path()).is_err() && disk(folder.path(), false).is_err());
    }
}
