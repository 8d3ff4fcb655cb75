//! Where a file has data: `SEEK_DATA` and `SEEK_HOLE` (lseek(2)).

use std::fs::File;
use std::ops::Range;
use std::time::SystemTime;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::holes::Stamp;
use crate::error::BlobError;
use crate::file::FileSource;
use crate::source::SourceExtent;

/// The most extents that one job of a lane looks for. Restrains a file with very many: after each job, the search goes
/// on only if the future still exists.
const JOB: usize = 4096;

impl FileSource {
    /// As [`Source::extents`](crate::Source::extents).
    pub(crate) async fn extents(
        &self,
        offset: u64,
        length: u64,
        most: usize,
    ) -> Result<Vec<SourceExtent>, BlobError> {
        let end = offset + length;
        let mut extents = self
            .in_place_or_on_lane(move |file| Ok(file.recall(offset..end, most)))
            .await?;
        loop {
            let done = extents.last().map_or(offset, SourceExtent::end);
            if done >= end || extents.len() >= most {
                return Ok(extents);
            }
            let left = JOB.min(most - extents.len());
            let found = self.on_lane(move |file| file.find(done..end, left)).await?;
            extents.extend(found);
        }
    }

    /// The remembered extents from the start of `range` on.
    fn recall(&self, range: Range<u64>, most: usize) -> Vec<SourceExtent> {
        let recall = |stamp| self.holes().recall(stamp, &range, most);
        self.stamp().map(recall).unwrap_or_default()
    }

    /// Finds at most `most` extents, 1 or more, from the start of `range` on, and remembers them.
    fn find(&self, range: Range<u64>, most: usize) -> Result<Vec<SourceExtent>, BlobError> {
        let stamp = self.stamp();
        let size = stamp.map(Stamp::size);
        let sought = seek(self.file(), range, most, size).map_err(|error| self.failed(error))?;
        if let Some(stamp) = stamp
            && stamp.is_settled(SystemTime::now())
            && self.stamp() == Some(stamp)
        {
            self.holes().remember(stamp, &sought);
        }
        Ok(sought)
    }
}

/// Walks upwards through `range`, for at most `most` extents. `size` is the file's present size, if known.
fn seek(
    file: &File,
    range: Range<u64>,
    most: usize,
    size: Option<u64>,
) -> Result<Vec<SourceExtent>, Errno> {
    let mut extents = Vec::new();
    // Bytes that the file has lost since it was opened read as errors, not as zeroes, so they are no hole.
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
            // Not supported for this file (a block device, for example): data is always a safe answer.
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
