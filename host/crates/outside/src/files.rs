//! Files by name, from the keeper or by this process itself. All of it blocks, on a disk that hangs for as long as it
//! hangs.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::here::{self, Entry, Seen};
use crate::keeper::Keeper;
use crate::lock_holders;
use crate::message::{Answer, Request};

/// Opens a regular file to read it.
///
/// # Errors
/// It isn't there, isn't a file, can't be read, or wasn't named by the operator.
pub fn read(path: &Path) -> io::Result<File> {
    match Keeper::get() {
        None => here::read(path),
        Some(keeper) => file(keeper, &Request::Read(path.into())),
    }
}

/// The text of whatever is at a path: a pipe is waited for.
///
/// # Errors
/// It isn't there, can't be read, or wasn't named by the operator; it isn't UTF-8.
pub fn any_text(path: &Path) -> io::Result<String> {
    match Keeper::get() {
        None => std::fs::read_to_string(path),
        Some(_) => text(path),
    }
}

/// The text of a file.
///
/// # Errors
/// As for [`read`]; it isn't UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    read(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Opens a file or a block device of the operator's. Links to it are followed.
///
/// # Errors
/// It isn't there, is neither, isn't accessible, or wasn't granted so.
pub fn disk(path: &Path, writable: bool) -> io::Result<File> {
    match Keeper::get() {
        None => here::disk(path, writable),
        Some(keeper) => {
            let path = path.into();
            file(keeper, &Request::Disk { path, writable })
        }
    }
}

/// Opens a file to write at its end, and makes it if it isn't there; `anew` empties it first.
///
/// # Errors
/// It can't be made or written, or wasn't named by the operator.
pub fn append(path: &Path, anew: bool) -> io::Result<File> {
    match Keeper::get() {
        None => here::append(path, anew),
        Some(keeper) => {
            let path = path.into();
            file(keeper, &Request::Append { path, anew })
        }
    }
}

/// The reading end of a pipe that the process with the operator's descriptors was handed as this one. Reads don't block.
///
/// # Errors
/// There is no such descriptor, or it isn't a pipe's, or the operator didn't name it.
pub fn pipe(descriptor: u32) -> io::Result<OwnedFd> {
    match Keeper::get() {
        None => here::pipe(descriptor),
        Some(keeper) => file(keeper, &Request::Pipe(descriptor)).map(OwnedFd::from),
    }
}

/// What is at a path, links followed.
///
/// # Errors
/// Nothing is there, or it wasn't named by the operator.
pub fn look(path: &Path) -> io::Result<Seen> {
    let Some(keeper) = Keeper::get() else {
        return here::look(path);
    };
    match keeper.ask(&Request::Look(path.into()))? {
        (Answer::Seen(seen), _) => Ok(seen),
        other => Err(unexpected(&other)),
    }
}

/// The entries of a folder, in no order, `most` at most.
///
/// # Errors
/// It can't be read, or wasn't named by the operator.
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

/// The programs that hold locks of these bytes of the file with this inode, for people: `pid 7 (qemu-nbd)`.
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
    io::Error::other(format!("the keeper's answer doesn't fit: {reply:?}"))
}
