//! The file's identifier and its two headers (2.2), of which the newer valid one counts.

use image_format::Pages;

use crate::fields::{check, guid_at, u16_at, u64_at};
use crate::{Error, Result, Source};

const IDENTIFIER: [u8; 8] = *b"vhdxfile";

/// Where the headers are, in bytes, and their length.
const AT: [u64; 2] = [64 << 10, 128 << 10];
const LENGTH: usize = 4096;

/// Holds that this is a VHDX file that can be read as it is: its log has nothing to replay.
pub fn check_headers<S: Source>(file: &Pages<S>) -> Result<()> {
    let first = file.read(0, file.size().min(8) as usize)?;
    if first != IDENTIFIER {
        return Err(Error::malformed("not a VHDX image"));
    }
    let headers = AT.map(|at| Header::read(file, at));
    let newer = match headers {
        [Ok(one), Ok(two)] if one.sequence >= two.sequence => one,
        [_, Ok(one)] | [Ok(one), Err(_)] => one,
        [Err(error), Err(_)] => return Err(error),
    };
    // 2.3.3: without a log's GUID its entries don't count, whatever is in them.
    if newer.log {
        return Err(Error::unsupported(
            "its log has changes that aren't in place: let `qemu-img check -r all` replay them",
        ));
    }
    Ok(())
}

struct Header {
    sequence: u64,
    /// There is a log to replay.
    log: bool,
}

impl Header {
    fn read<S: Source>(file: &Pages<S>, at: u64) -> Result<Self> {
        let bytes = file.read(at, LENGTH)?;
        check("header", &bytes, b"head")?;
        let (log_version, version) = (u16_at(&bytes, 64)?, u16_at(&bytes, 66)?);
        if version != 1 {
            return Err(Error::unsupported(format!("VHDX version {version}")));
        }
        let log = guid_at(&bytes, 48)? != [0; 16];
        if log && log_version != 0 {
            return Err(Error::unsupported(format!(
                "a log of version {log_version}"
            )));
        }
        Ok(Self {
            sequence: u64_at(&bytes, 8)?,
            log,
        })
    }
}
