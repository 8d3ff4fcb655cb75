//! Where a file has data: `SEEK_DATA` and `SEEK_HOLE` (lseek(2)).

use std::fs::File;
use std::ops::Range;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::error::BlobError;
use crate::file::{FileSource, on_a_thread};
use crate::source::SourceExtent;

/// Extents that are soon found; a file of many is walked through on a thread.
const FEW: usize = 64;

impl FileSource {
    /// As [`Source::extents`](crate::Source::extents).
    pub(crate) async fn extents(
        &self,
        offset: u64,
        length: u64,
        most: usize,
    ) -> Result<Vec<SourceExtent>, BlobError> {
        let end = offset + length;
        let file = self.clone();
        let mut extents = self
            .inline_or_thread(move || file.seek(offset..end, most.min(FEW)))
            .await?;
        let done = extents.last().map_or(offset, SourceExtent::end);
        if done < end && extents.len() < most {
            let (file, left) = (self.clone(), most - extents.len());
            extents.extend(on_a_thread(move || file.seek(done..end, left)).await?);
        }
        Ok(extents)
    }

    fn seek(&self, range: Range<u64>, most: usize) -> Result<Vec<SourceExtent>, BlobError> {
        seek(self.file(), range, most).map_err(|error| self.failed(error))
    }
}

/// Walks upwards through `range`, for at most `most` extents.
fn seek(file: &File, range: Range<u64>, most: usize) -> Result<Vec<SourceExtent>, Errno> {
    let mut extents = Vec::new();
    // What a file has lost since it was opened reads as an error, not as zeroes: it's no hole.
    let end = rustix::fs::seek(file, SeekFrom::End(0))?.min(range.end);
    let mut at = range.start;
    while at < end && extents.len() < most {
        let data_at = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(found) => found.clamp(at, end),
            // No data from here on.
            Err(Errno::NXIO) => end,
            // Not for this file (a block device, say): data is always a safe answer.
            Err(Errno::INVAL) => at,
            Err(error) => return Err(error),
        };
        if data_at > at {
            extents.push(SourceExtent {
                offset: at,
                length: data_at - at,
                data: false,
            });
            at = data_at;
            continue;
        }
        let hole_at = match rustix::fs::seek(file, SeekFrom::Hole(at)) {
            Ok(found) if found > at => found.min(end),
            Ok(_) | Err(Errno::NXIO | Errno::INVAL) => end,
            Err(error) => return Err(error),
        };
        extents.push(SourceExtent {
            offset: at,
            length: hole_at - at,
            data: true,
        });
        at = hole_at;
    }
    if at < range.end && extents.len() < most {
        extents.push(SourceExtent {
            offset: at,
            length: range.end - at,
            data: true,
        });
    }
    Ok(extents)
}
