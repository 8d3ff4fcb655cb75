//! Extents of the layer below, in whole words: a word with any data byte is data.

use nbdbox_plugin::{ExtentKind, Extents, Progress, Result, next};

/// Extents in one request to the layer below.
const MOST: u32 = 4096;

/// Reports the extents of the layer below for a range of whole words.
pub(crate) fn report(extents: &Extents, offset: u64, length: u64, word: u64) -> Result<()> {
    if word == 1 {
        next::report(extents, offset, length, offset)?;
        return Ok(());
    }
    let (mut known, end) = (offset, offset + length);
    for extent in next::list_extents(offset, length, MOST)? {
        known = extent.offset + extent.length;
        let start = extent.offset.next_multiple_of(word);
        let stop = known - known % word;
        // Ranges without a report stay data.
        let says = extent.kind != ExtentKind::Data && start < stop;
        if says && extents.add(start, stop - start, extent.kind)? == Progress::Full {
            return Ok(());
        }
    }
    if known < end {
        // If nothing is known of the first word, it stays data.
        extents.end_at((known - known % word).max(offset + word));
    }
    Ok(())
}
