//! A file of the compile cache: a component's machine code, and its footprint.
//!
//! ```text
//! | code, as wasmtime made it | footprint: bytes, mappings (u64 LE each) | SHA-256 of all before (32 bytes) |
//! ```
//!
//! The code comes first, because the host maps it from the file and it has to begin at a page. wasmtime reads no
//! further than the code's own header states. This file holds the project's one `unsafe` call.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use anyhow::anyhow;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use wasmtime::component::Component;

use crate::component::footprint::Footprint;

/// Length of a footprint, in bytes.
const FOOTPRINT: usize = 16;

/// Length of a digest, in bytes.
const DIGEST: usize = 32;

/// Bytes that are read and hashed at a time.
const BLOCK: usize = 256 << 10;

/// Compiled code, ready to make instances, and what each instance takes.
pub(crate) struct Artifact {
    pub(crate) component: Component,
    pub(crate) footprint: Footprint,
}

/// Why a cached file can't be used.
#[derive(Debug, Error)]
pub(crate) enum Unusable {
    /// The file can't be read.
    #[error("it can't be read: {0}")]
    Read(#[from] io::Error),
    /// The file doesn't match its digest: a disk lost bytes, or somebody changed them.
    #[error("its bytes changed since the compiler wrote them")]
    Damaged,
    /// wasmtime rejects the code.
    #[error("wasmtime rejects it: {0:#}")]
    Refused(anyhow::Error),
}

/// Writes a whole cached file and syncs it. Blocks.
///
/// # Errors
/// The disk has no room, or failed.
pub(super) fn write(file: &mut File, code: &[u8], footprint: Footprint) -> io::Result<()> {
    let mut tail = Vec::with_capacity(FOOTPRINT + DIGEST);
    tail.extend(footprint.bytes.to_le_bytes());
    tail.extend(footprint.mappings.to_le_bytes());
    let digest = Sha256::new().chain_update(code).chain_update(&tail);
    tail.extend(digest.finalize());
    file.write_all(code)?;
    file.write_all(&tail)?;
    // The host will run the code as it is, so a crash of the machine mustn't leave half of it under its final name.
    file.sync_all()
}

/// A file of compiled code that was found to match its digest.
#[derive(Debug)]
pub struct Checked {
    file: File,
    footprint: Footprint,
}

impl Checked {
    /// Checks a file against its digest. Blocks for the time that the disk takes to read the whole file.
    ///
    /// # Errors
    /// The file can't be read, or doesn't match its digest.
    pub(super) fn check(mut file: File) -> Result<Self, Unusable> {
        let length = file.metadata()?.len();
        let hashed = hashed(length).ok_or(Unusable::Damaged)?;
        file.seek(SeekFrom::Start(0))?;
        let mut digest = Sha256::new();
        let mut block = vec![0; BLOCK];
        let mut rest = (&mut file).take(hashed);
        loop {
            let read = rest.read(&mut block)?;
            if read == 0 {
                break;
            }
            digest.update(&block[..read]);
        }
        let mut written = [0; DIGEST];
        file.read_exact(&mut written)?;
        if digest.finalize()[..] != written {
            return Err(Unusable::Damaged);
        }
        file.seek(SeekFrom::Start(hashed - FOOTPRINT as u64))?;
        let mut bytes = [0; FOOTPRINT];
        file.read_exact(&mut bytes)?;
        let footprint = footprint(&bytes);
        Ok(Self { file, footprint })
    }

    /// Maps the code into memory. Blocks for the time that the disk takes to read its first pages.
    ///
    /// # Errors
    /// wasmtime rejects the code. None of it has run.
    pub(crate) fn map(self, engine: &wasmtime::Engine) -> Result<Artifact, Unusable> {
        // wasmtime takes a path. This one leads to the file that was checked, even if its name leads to another by now
        // (proc(5)).
        let descriptor = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let component = load(engine, Code::Mapped(&descriptor)).map_err(Unusable::Refused)?;
        Ok(Artifact {
            component,
            footprint: self.footprint,
        })
    }
}

impl AsFd for Checked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Artifact {
    /// Copies the code of a file into memory, and checks the copy against its digest. It's for a process that can't
    /// open paths, so that wasmtime can't map the file. Blocks for the time that the disk takes to read the whole file.
    ///
    /// # Errors
    /// The file can't be read or doesn't match its digest, or wasmtime rejects the code. None of it has run.
    pub(super) fn copy(engine: &wasmtime::Engine, mut file: File) -> Result<Self, Unusable> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        let hashed = hashed(bytes.len() as u64).and_then(|hashed| usize::try_from(hashed).ok());
        let (hashed, written) = bytes.split_at(hashed.ok_or(Unusable::Damaged)?);
        if Sha256::digest(hashed)[..] != *written {
            return Err(Unusable::Damaged);
        }
        let tail = hashed.last_chunk().ok_or(Unusable::Damaged)?;
        Ok(Self {
            component: load(engine, Code::Copied(hashed)).map_err(Unusable::Refused)?,
            footprint: footprint(tail),
        })
    }
}

/// The number of bytes that the digest covers in a file of this length; `None` if the file is too short to have a
/// digest.
fn hashed(length: u64) -> Option<u64> {
    let hashed = length.checked_sub(DIGEST as u64);
    hashed.filter(|hashed| *hashed >= FOOTPRINT as u64)
}

fn footprint(tail: &[u8; FOOTPRINT]) -> Footprint {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let (bytes, mappings) = tail.split_at(FOOTPRINT / 2);
    Footprint {
        bytes: number(bytes),
        mappings: number(mappings),
    }
}

/// Code that matched its digest.
enum Code<'a> {
    /// In the file at this path.
    Mapped(&'a str),
    /// In these bytes.
    Copied(&'a [u8]),
}

/// Makes a component of compiled code. It has the only unsafe call of the project.
#[expect(
    unsafe_code,
    reason = "wasmtime can't know who wrote the code; this module does"
)]
fn load(engine: &wasmtime::Engine, code: Code<'_>) -> anyhow::Result<Component> {
    // SAFETY: the bytes must be what `precompile_component` returned, and must not change while wasmtime uses them.
    // `Checked::check` or `Artifact::copy` has found that they are the bytes that `write` wrote, and only our own
    // compiler's process calls `write`. They stay the same. Bytes in memory are wasmtime's own copy. As for files, the
    // cache passes only files of its folder, which it has found that no other account can write to, and nobody writes
    // to a file there once it has its name; or the file is memory that the kernel has sealed. The keeper passes no
    // others. wasmtime itself rejects code of another version or with other settings.
    let component = unsafe {
        match code {
            Code::Mapped(path) => Component::deserialize_file(engine, path),
            Code::Copied(bytes) => Component::deserialize(engine, bytes),
        }
    };
    component.map_err(|error| anyhow!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::tunables::new_engine;

    const FOOTPRINT: Footprint = Footprint {
        bytes: 7 << 40,
        mappings: 5,
    };

    fn written(engine: &wasmtime::Engine) -> Vec<u8> {
        let component = wat::parse_str("(component (core module $m))").unwrap();
        let code = engine.precompile_component(&component).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        write(&mut file, &code, FOOTPRINT).unwrap();
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// Opens the file both ways: mapped and copied.
    fn opened(engine: &wasmtime::Engine, bytes: &[u8]) -> [Result<Artifact, Unusable>; 2] {
        [
            Checked::check(of(bytes)).and_then(|checked| checked.map(engine)),
            Artifact::copy(engine, of(bytes)),
        ]
    }

    #[test]
    fn a_written_file_opens_both_ways() {
        let engine = new_engine().unwrap();
        for opened in opened(&engine, &written(&engine)) {
            assert_eq!(opened.unwrap().footprint, FOOTPRINT);
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_damage() {
        let engine = new_engine().unwrap();
        let good = written(&engine);
        let steps = (0..good.len()).step_by(997);
        for at in steps.chain(good.len() - 60..good.len()) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            for opened in opened(&engine, &bytes) {
                assert!(matches!(opened, Err(Unusable::Damaged)), "at {at}");
            }
        }
    }

    #[test]
    fn a_file_that_was_cut_off_or_grew_is_damaged() {
        let engine = new_engine().unwrap();
        let good = written(&engine);
        for length in [0, 1, 31, 32, 47, 48, good.len() / 2, good.len() - 1] {
            for opened in opened(&engine, &good[..length]) {
                assert!(matches!(opened, Err(Unusable::Damaged)), "{length} bytes");
            }
        }
        for opened in opened(&engine, &[&good[..], b"!"].concat()) {
            assert!(matches!(opened, Err(Unusable::Damaged)));
        }
    }
}
