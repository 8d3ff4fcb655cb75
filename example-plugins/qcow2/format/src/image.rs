//! One image: maps an offset of the disk to a place in a file, through the L1 and L2 tables.

use crate::cluster::{Compressed, Entry, OFFSET, Place};
use crate::header::{Header, MAX_L1_ENTRIES, Table};
use crate::pages::{Pages, Source};
use crate::{Error, Result, compression, snapshot};

/// An image whose header was checked. Tables are checked at each use.
#[derive(Debug)]
pub struct Image<S> {
    file: Pages<S>,
    header: Header,
    /// The L1 table of the disk, or of the snapshot that is served.
    size: u64,
    l1: Table,
    /// The size of the external data file, if there is one.
    data_size: Option<u64>,
    /// The compressed cluster that was decoded last: its place, and its bytes.
    decoded: Option<(u64, Vec<u8>)>,
}

impl<S: Source> Image<S> {
    /// Reads the header, and finds the snapshot if one is named. Caches at most `memory` bytes of tables.
    pub fn open(source: S, snapshot: Option<&str>, memory: usize) -> Result<Self> {
        let file = Pages::new(source, memory);
        let header = Header::read(&file)?;
        let (size, l1) = match snapshot {
            None => (header.size, header.l1),
            Some(name) => {
                let found = snapshot::find(&file, &header, name)?;
                (found.size, found.l1)
            }
        };
        let image = Self {
            file,
            header,
            size,
            l1,
            data_size: None,
            decoded: None,
        };
        image.check_l1()?;
        Ok(image)
    }

    /// Sets the size of the external data file.
    pub fn with_data_file(mut self, size: u64) -> Self {
        self.data_size = Some(size);
        self
    }

    /// The header of the image.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The size of the disk, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a read touched bytes of tables or compressed clusters past the end of the file.
    pub fn lacks(&self) -> bool {
        self.file.lacks()
    }

    /// The unit of the tables, in bytes.
    pub fn grain(&self) -> u64 {
        let cluster = 1 << self.header.cluster_bits;
        if self.header.extended_l2 {
            cluster / 32
        } else {
            cluster
        }
    }

    /// The bytes of the disk that an L2 table describes.
    pub fn l2_reach(&self) -> u64 {
        let entries = (1_u64 << self.header.cluster_bits) / self.entry_size();
        entries << self.header.cluster_bits
    }

    /// The place of the byte at `offset`, and the number of bytes that continue there: at least 1, at most `length`.
    /// `offset` is on the disk and `length` isn't 0.
    pub fn place(&mut self, offset: u64, length: u64) -> Result<(Place, u64)> {
        let reach = self.l2_reach();
        let length = length.min(reach - offset % reach);
        let Some(l2) = self.l2(offset / reach)? else {
            return Ok((Place::Below, length));
        };
        let first = self.entry(l2, offset)?.place(&self.header, offset)?;
        let grain = match first {
            Place::Compressed(_) => 1 << self.header.cluster_bits,
            _ => self.grain(),
        };
        let mut run = grain - offset % grain;
        while run < length && !matches!(first, Place::Compressed(_)) {
            let next = self
                .entry(l2, offset + run)?
                .place(&self.header, offset + run)?;
            if !first.goes_on(next, run) {
                break;
            }
            run += grain;
        }
        self.there(first, run.min(length))
    }

    /// The bytes of a compressed cluster.
    pub fn decode(&mut self, at: Compressed) -> Result<&[u8]> {
        if self
            .decoded
            .as_ref()
            .is_none_or(|(offset, _)| *offset != at.offset)
        {
            let there = at.length.min(self.file.size().saturating_sub(at.offset));
            let mut bytes = self.file.read_padded(at.offset, there as usize)?;
            let size = 1 << self.header.cluster_bits;
            // Free the old cluster before allocating the new one.
            self.decoded = None;
            let kind = self.header.compression;
            // The stream may end before its last sector does. If it doesn't end in time, what the file lacks of it is
            // zeroes, as everywhere else.
            let cluster = match compression::decode(kind, &bytes, size) {
                Err(_) if there < at.length => {
                    bytes.resize(at.length as usize, 0);
                    let cluster = compression::decode(kind, &bytes, size)?;
                    self.file.note_lack();
                    cluster
                }
                decoded => decoded?,
            };
            self.decoded = Some((at.offset, cluster));
        }
        let cluster = self.decoded.as_ref().map(|(_, bytes)| bytes.as_slice());
        cluster
            .and_then(|bytes| bytes.get(at.skip as usize..))
            .ok_or_else(|| Error::malformed("a read past the end of a cluster"))
    }

    fn entry_size(&self) -> u64 {
        if self.header.extended_l2 { 16 } else { 8 }
    }

    fn check_l1(&self) -> Result<()> {
        let Table { offset, entries } = self.l1;
        if entries > MAX_L1_ENTRIES {
            return Err(Error::malformed(format!(
                "the L1 table has too many entries: {entries}"
            )));
        }
        if u64::from(entries) < self.size.div_ceil(self.l2_reach()) {
            return Err(Error::malformed("the L1 table is too small for the disk"));
        }
        self.check_aligned("L1 table", offset)?;
        // A table past the end of the file would make a disk of zeroes.
        if entries > 0 && offset >= self.file.size() {
            return Err(Error::malformed(format!(
                "the L1 table at {offset} is past the end of the file"
            )));
        }
        Ok(())
    }

    fn check_aligned(&self, what: &str, offset: u64) -> Result<()> {
        if offset.is_multiple_of(1 << self.header.cluster_bits) {
            return Ok(());
        }
        Err(Error::malformed(format!(
            "the {what} at {offset} isn't aligned"
        )))
    }

    /// The place of the L2 table with that number.
    fn l2(&mut self, index: u64) -> Result<Option<u64>> {
        let at = self.l1.offset.saturating_add(index * 8);
        let offset = self.u64_at(at)? & OFFSET;
        if offset == 0 {
            return Ok(None);
        }
        self.check_aligned("L2 table", offset)?;
        Ok(Some(offset))
    }

    fn entry(&mut self, l2: u64, offset: u64) -> Result<Entry> {
        let index = (offset % self.l2_reach()) >> self.header.cluster_bits;
        let at = l2 + index * self.entry_size();
        let descriptor = self.u64_at(at)?;
        let bitmap = if self.header.extended_l2 {
            self.u64_at(at + 8)?
        } else {
            0
        };
        Ok(Entry { descriptor, bitmap })
    }

    fn u64_at(&mut self, offset: u64) -> Result<u64> {
        Ok(u64::from_be_bytes(self.file.field(offset)?))
    }

    /// The part of a place that is inside the file, or past its end.
    fn there(&self, place: Place, run: u64) -> Result<(Place, u64)> {
        let size = self.data_size.unwrap_or_else(|| self.file.size());
        match place {
            Place::Data(at) => match size.saturating_sub(at).min(run) {
                0 => Ok((Place::Lacking, run)),
                has => Ok((place, has)),
            },
            Place::Compressed(at) if at.offset >= size => {
                Err(Error::malformed("a cluster is past the end of the file"))
            }
            _ => Ok((place, run)),
        }
    }
}
