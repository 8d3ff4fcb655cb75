//! Files and folders by name, from the keeper, or by this process itself if it has none.
//!
//! All functions block, on a disk that hangs for as long as it hangs. A keeper answers EPERM for a path that the
//! operator didn't name for this operation.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::here::{self, Entry, Seen};
use crate::keeper::Keeper;
use crate::lock_holders;
use crate::message::{Answer, Request};

/// Opens a regular file to read it. Follows links.
///
/// # Errors
/// There is no such file, or it isn't regular; the operator can't read it, or didn't name it.
pub fn read(path: &Path) -> io::Result<File> {
    match Keeper::get() {
        None => here::read(path),
        Some(keeper) => file(keeper, &Request::Read(path.into())),
    }
}

/// The text of a file. Without a keeper the file may be of any kind, and the function waits for the writer of a pipe.
///
/// # Errors
/// As for [`text`].
pub fn any_text(path: &Path) -> io::Result<String> {
    match Keeper::get() {
        None => std::fs::read_to_string(path),
        Some(_) => text(path),
    }
}

/// The text of a regular file.
///
/// # Errors
/// As for [`read`]; or the file isn't UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    read(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Opens a regular file or a block device to read it, and with `writable` to write it, too. Follows links.
///
/// # Errors
/// There is no such file, or it's of another kind; the operator has no access, or didn't grant it.
pub fn disk(path: &Path, writable: bool) -> io::Result<File> {
    match Keeper::get() {
        None => here::disk(path, writable),
        Some(keeper) => {
            let path = path.into();
            file(keeper, &Request::Disk { path, writable })
        }
    }
}

/// Opens a file to append to it, and creates it if it doesn't exist; `anew` empties it first.
///
/// # Errors
/// The file can't be created or written, or the operator didn't name it.
pub fn append(path: &Path, anew: bool) -> io::Result<File> {
    match Keeper::get() {
        None => here::append(path, anew),
        Some(keeper) => {
            let path = path.into();
            file(keeper, &Request::Append { path, anew })
        }
    }
}

/// Opens the reading end of a pipe that the keeper, or this process if it has none, inherited as this descriptor. Reads
/// of it don't block.
///
/// # Errors
/// There is no such descriptor; it isn't a pipe; the operator didn't name it.
pub fn pipe(descriptor: u32) -> io::Result<OwnedFd> {
    match Keeper::get() {
        None => here::pipe(descriptor),
        Some(keeper) => file(keeper, &Request::Pipe(descriptor)).map(OwnedFd::from),
    }
}

/// Looks at a path. Follows links.
///
/// # Errors
/// Nothing is at the path, or the operator didn't name it.
pub fn look(path: &Path) -> io::Result<Seen> {
    let Some(keeper) = Keeper::get() else {
        return here::look(path);
    };
    match keeper.ask(&Request::Look(path.into()))? {
        (Answer::Seen(seen), _) => Ok(seen),
        other => Err(unexpected(&other)),
    }
}

/// The entries of a folder, `most` at most, in no particular order.
///
/// # Errors
/// The folder can't be read, or the operator didn't name it.
pub fn list(folder: &Path, most: usize) -> io::Result<Vec<Entry>> {
    let Some(keeper) = Keeper::get() else {
        return here::list(folder, most);
    };
    let request = Request::List {
        path: folder.into(),
        most: u32::try_from(most).unwrap_or(u32::MAX),
    };
    let mut bytes = Vec::new();
    file(keeper, &request)?.read_to_end(&mut bytes)?;
    Ok(here::unpack(folder, &bytes))
}

/// The programs that hold locks of these bytes of the file with this inode, as a text for people: `pid 7 (qemu-nbd)`.
#[must_use]
pub fn lock_holders(inode: u64, bytes: std::ops::Range<u64>) -> String {
    let Some(keeper) = Keeper::get() else {
        return lock_holders::of(inode, &bytes);
    };
    match keeper.ask(&Request::LockHolders { inode, bytes }) {
        Ok((Answer::Text(words), _)) => words,
        _ => "another program".to_owned(),
    }
}

fn file(keeper: &Keeper, request: &Request) -> io::Result<File> {
    match keeper.ask(request)? {
        (Answer::File | Answer::Entries, Some(file)) => Ok(file.into()),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(reply: &(Answer, Option<OwnedFd>)) -> io::Error {
    io::Error::other(format!("the keeper sent an unexpected answer: {reply:?}"))
}
