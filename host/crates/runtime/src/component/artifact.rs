//! A file of the compile cache: a component's machine code, and what has to be known before it's run.
//!
//! ```text
//! | code, as wasmtime made it | footprint: bytes, mappings (u64 LE each) | SHA-256 of all before (32 bytes) |
//! ```
//!
//! The code comes first, since it's mapped from the file and has to begin with a page; wasmtime reads no further than
//! the code says. Holds the project's one `unsafe` call.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;

use anyhow::anyhow;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use wasmtime::component::Component;

use crate::component::footprint::Footprint;

/// Bytes of a footprint.
const FOOTPRINT: usize = 16;

/// Bytes of a digest.
const DIGEST: usize = 32;

/// Bytes that are hashed at once.
const BLOCK: usize = 256 << 10;

/// Compiled code, ready to make instances, and what each will take.
pub(crate) struct Artifact {
    pub(crate) component: Component,
    pub(crate) footprint: Footprint,
}

/// Why a file can't be used.
#[derive(Debug, Error)]
pub(super) enum Unusable {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Read(#[from] io::Error),
    /// Not what was written: a disk that lost bytes, or somebody who changed them.
    #[error("its bytes aren't those that were written")]
    Damaged,
    /// wasmtime doesn't take it.
    #[error("wasmtime refuses it: {0:#}")]
    Refused(anyhow::Error),
}

/// Writes a file of the cache to its end. Blocks.
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
    // It will be run as it is: no crash of the machine may leave half of it under its final name.
    file.sync_all()
}

/// Checks every byte of a file, and maps its code. Blocks for as long as the disk takes to read it.
///
/// # Errors
/// Why it can't be used; nothing of it was run.
pub(super) fn open(engine: &wasmtime::Engine, file: &mut File) -> Result<Artifact, Unusable> {
    let footprint = verify(file)?;
    let component = map(engine, file).map_err(Unusable::Refused)?;
    Ok(Artifact {
        component,
        footprint,
    })
}

/// The footprint, once all bytes were found to be those that were written.
fn verify(file: &mut File) -> Result<Footprint, Unusable> {
    let length = file.metadata()?.len();
    let hashed = length
        .checked_sub(DIGEST as u64)
        .filter(|hashed| *hashed >= FOOTPRINT as u64)
        .ok_or(Unusable::Damaged)?;
    file.seek(SeekFrom::Start(0))?;
    let mut digest = Sha256::new();
    let mut block = vec![0; BLOCK];
    let mut rest = file.take(hashed);
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
    let mut number = || {
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes)
            .map(|()| u64::from_le_bytes(bytes))
    };
    Ok(Footprint {
        bytes: number()?,
        mappings: number()?,
    })
}

/// Maps compiled code into memory. The only unsafe code of the project.
#[expect(
    unsafe_code,
    reason = "wasmtime can't know who wrote the file; this module does"
)]
fn map(engine: &wasmtime::Engine, file: &File) -> anyhow::Result<Component> {
    // wasmtime takes a path. This one leads to the very file that was verified, whatever its name leads to by now
    // (proc(5)).
    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the file must be what `precompile_component` returned, unchanged while it's mapped. `verify` has found
    // its bytes to be those that `write` wrote, which only our own compiler's process calls. They stay so: the cache
    // names files in its folder only, it has made sure that nobody but this account can write there, and no file is
    // written to once it has its name; or the file is memory that the kernel has sealed. wasmtime itself refuses code of another version or with other settings.
    let component = unsafe { Component::deserialize_file(engine, descriptor) };
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

    fn written(engine: &wasmtime::Engine) -> (File, Vec<u8>) {
        let component = wat::parse_str("(component (core module $m))").unwrap();
        let code = engine.precompile_component(&component).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        write(&mut file, &code, FOOTPRINT).unwrap();
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        (file, bytes)
    }

    fn of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn what_was_written_is_read() {
        let engine = new_engine().unwrap();
        let (mut file, _) = written(&engine);
        assert_eq!(open(&engine, &mut file).unwrap().footprint, FOOTPRINT);
    }

    #[test]
    fn a_changed_byte_anywhere_is_found() {
        let engine = new_engine().unwrap();
        let (_, good) = written(&engine);
        let steps = (0..good.len()).step_by(997);
        for at in steps.chain(good.len() - 60..good.len()) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            let opened = open(&engine, &mut of(&bytes));
            assert!(matches!(opened, Err(Unusable::Damaged)), "at {at}");
        }
    }

    #[test]
    fn a_file_that_was_cut_off_or_grew_is_found() {
        let engine = new_engine().unwrap();
        let (_, good) = written(&engine);
        for length in [0, 1, 31, 32, 47, 48, good.len() / 2, good.len() - 1] {
            let opened = open(&engine, &mut of(&good[..length]));
            assert!(matches!(opened, Err(Unusable::Damaged)), "{length} bytes");
        }
        let longer = [&good[..], b"!"].concat();
        let opened = open(&engine, &mut of(&longer));
        assert!(matches!(opened, Err(Unusable::Damaged)));
    }
}
