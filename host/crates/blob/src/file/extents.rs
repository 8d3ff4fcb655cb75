//! Where a file has data: `SEEK_DATA` and `SEEK_HOLE` (lseek(2)).

use std::fs::File;
use std::ops::Range;
use std::time::SystemTime;

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
            .inline_or_thread(move || file.find(offset..end, most, FEW))
            .await?;
        let done = extents.last().map_or(offset, SourceExtent::end);
        if done < end && extents.len() < most {
            let (file, left) = (self.clone(), most - extents.len());
            extents.extend(on_a_thread(move || file.find(done..end, left, left)).await?);
        }
        Ok(extents)
    }

    /// Says what is remembered from the start of `range` on, then looks for at most `few` more; `most` in all.
    fn find(
        &self,
        range: Range<u64>,
        most: usize,
        few: usize,
    ) -> Result<Vec<SourceExtent>, BlobError> {
        let Some(stamp) = self.stamp() else {
            return self.seek(range, most.min(few), None);
        };
        let mut found = self.holes().recall(stamp, &range, most);
        let at = found.last().map_or(range.start, SourceExtent::end);
        if at < range.end && found.len() < most {
            let few = few.min(most - found.len());
            let sought = self.seek(at..range.end, few, Some(stamp.size()))?;
            if stamp.is_settled(SystemTime::now()) && self.stamp() == Some(stamp) {
                self.holes().remember(stamp, &sought);
            }
            found.extend(sought);
        }
        Ok(found)
    }

    fn seek(
        &self,
        range: Range<u64>,
        most: usize,
        size: Option<u64>,
    ) -> Result<Vec<SourceExtent>, BlobError> {
        seek(self.file(), range, most, size).map_err(|error| self.failed(error))
    }
}

/// Walks upwards through `range`, for at most `most` extents. `size`: the file's now, if that was looked at.
fn seek(
    file: &File,
    range: Range<u64>,
    most: usize,
    size: Option<u64>,
) -> Result<Vec<SourceExtent>, Errno> {
    let mut extents = Vec::new();
    // What a file has lost since it was opened reads as an error, not as zeroes: it's no hole.
    let size = match size {
        Some(size) => size,
        None => rustix::fs::seek(file, SeekFrom::End(0))?,
    };
    let end = size.min(range.end);
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
