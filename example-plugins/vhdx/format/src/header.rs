//! The file identifier and the two headers (2.2). The newer valid header is used.

use crate::fields::{check, guid_at, u16_at, u32_at, u64_at};
use crate::log::Place;
use crate::{Error, Result, Source};

const IDENTIFIER: [u8; 8] = *b"vhdxfile";

/// The offsets of the headers, and their length, in bytes.
const AT: [u64; 2] = [64 << 10, 128 << 10];
const LENGTH: usize = 4096;

/// Checks that this is a VHDX file. Returns the place of its log, if the log must be replayed.
pub fn log_to_replay<S: Source>(file: &S) -> Result<Option<Place>> {
    let first = read(file, 0, file.size().min(8) as usize)?;
    if first != IDENTIFIER {
        return Err(Error::malformed("not a VHDX image"));
    }
    let headers = AT.map(|at| Header::read(file, at));
    let newer = match headers {
        [Ok(one), Ok(two)] if one.sequence >= two.sequence => one,
        [_, Ok(one)] | [Ok(one), Err(_)] => one,
        [Err(error), Err(_)] => return Err(error),
    };
    // 2.3.3: without a log GUID the entries of the log are ignored.
    let has_log = newer.log.guid != [0; 16] && newer.log.length > 0;
    Ok(has_log.then_some(newer.log))
}

fn read<S: Source>(file: &S, offset: u64, length: usize) -> Result<Vec<u8>> {
    if offset + length as u64 > file.size() {
        return Err(Error::malformed("the file ends inside its headers"));
    }
    file.read(offset, length)
}

struct Header {
    sequence: u64,
    log: Place,
}

impl Header {
    fn read<S: Source>(file: &S, at: u64) -> Result<Self> {
        let bytes = read(file, at, LENGTH)?;
        check("header", &bytes, b"head")?;
        let (log_version, version) = (u16_at(&bytes, 64)?, u16_at(&bytes, 66)?);
        if version != 1 {
            return Err(Error::unsupported(format!("VHDX version {version}")));
        }
        let log = Place {
            offset: u64_at(&bytes, 72)?,
            length: u32_at(&bytes, 68)?,
            guid: guid_at(&bytes, 48)?,
        };
        if log.guid != [0; 16] && log_version != 0 {
            return Err(Error::unsupported(format!("log version {log_version}")));
        }
        Ok(Self {
            sequence: u64_at(&bytes, 8)?,
            log,
        })
    }
}
