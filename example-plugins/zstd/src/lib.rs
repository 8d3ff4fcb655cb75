//! An image in zstd's seekable format (`contrib/seekable_format` of zstd): frames that are compressed one by one, and a
//! table of their sizes at the end. A read decompresses only the frames that it touches.

use nbdbox_plugin::{Access, Blob, Device, Error, Manifest, Plugin, ReadReply, Result};
use ruzstd::decoding::FrameDecoder;

/// The magic number at the end of the file.
const SEEKABLE: u32 = 0x8F92_EAB1;
const FOOTER: u64 = 9;
/// Length of the skippable frame's magic and length, which precede the table.
const SKIPPABLE: u32 = 0x184D_2A5E;
const SKIPPABLE_HEADER: u64 = 8;
/// The most bytes of one read of a blob, and of one decompressed frame.
const MOST: u32 = 1 << 20;

struct Frame {
    /// Its start in the image.
    start: u64,
    size: u32,
    /// Its start in the blob.
    compressed: u64,
    compressed_size: u32,
}

struct Zstd {
    image: Blob,
    frames: Vec<Frame>,
    size: u64,
    /// The frame that was decompressed last: sequential reads need it again.
    last: Option<(usize, Vec<u8>)>,
}

impl Plugin for Zstd {
    fn manifest() -> Manifest {
        let summary = "an image in zstd's seekable format";
        let help = "the compressed image, in frames of at most 1 MiB";
        Manifest::new("zstd", env!("CARGO_PKG_VERSION"), summary).blob(
            "image",
            Access::ReadOnly,
            help,
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let image = Blob::open("image")?;
        let frames = read_table(&image)?;
        let size = frames
            .last()
            .map_or(0, |frame| frame.start + u64::from(frame.size));
        Ok(Self {
            image,
            frames,
            size,
            last: None,
        })
    }

    fn describe(&self) -> Device {
        Device::new(self.size).parallel().read_only(true)
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let end = offset + u64::from(length);
        let mut at = offset;
        let mut index = self.frames.partition_point(|frame| frame.start <= offset) - 1;
        while at < end {
            let start = self.frames[index].start;
            let bytes = self.frame(index)?;
            let from = (at - start) as usize;
            let to = bytes.len().min((end - start) as usize);
            reply.data(&bytes[from..to]);
            at += (to - from) as u64;
            index += 1;
        }
        Ok(())
    }
}

impl Zstd {
    fn frame(&mut self, index: usize) -> Result<&[u8]> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != index) {
            self.last = Some((index, decompress(&self.image, &self.frames[index])?));
        }
        Ok(self.last.as_ref().map_or(&[], |(_, bytes)| bytes))
    }
}

fn decompress(image: &Blob, frame: &Frame) -> Result<Vec<u8>> {
    let compressed = image.read(frame.compressed, frame.compressed_size)?;
    let mut bytes = vec![0; frame.size as usize];
    let size = FrameDecoder::new()
        .decode_all(&compressed, &mut bytes)
        .map_err(|error| {
            Error::io(format!(
                "the frame at {} is damaged: {error}",
                frame.compressed
            ))
        })?;
    if size != bytes.len() {
        return Err(Error::io(format!(
            "the frame at {} is shorter than the table says",
            frame.compressed
        )));
    }
    Ok(bytes)
}

/// Reads the seek table. Checks every number, because it comes from a file.
fn read_table(image: &Blob) -> Result<Vec<Frame>> {
    let total = image.size()?;
    let not_seekable = || Error::invalid("the image isn't in zstd's seekable format");
    let footer_at = total.checked_sub(FOOTER).ok_or_else(not_seekable)?;
    let footer = image.read(footer_at, FOOTER as u32)?;
    if word(&footer, 5) != SEEKABLE {
        return Err(not_seekable());
    }
    // Bit 7: each entry has a checksum too.
    let entry = if footer[4] & 0x80 == 0 { 8 } else { 12 };
    let table_size = u64::from(word(&footer, 0)) * entry;
    if table_size > u64::from(MOST) {
        return Err(Error::invalid("the seek table has more than 1 MiB"));
    }
    let table_at = footer_at.checked_sub(table_size).ok_or_else(not_seekable)?;
    let header_at = table_at
        .checked_sub(SKIPPABLE_HEADER)
        .ok_or_else(not_seekable)?;
    let header = image.read(header_at, SKIPPABLE_HEADER as u32)?;
    if word(&header, 0) != SKIPPABLE || u64::from(word(&header, 4)) != table_size + FOOTER {
        return Err(not_seekable());
    }
    let table = if table_size == 0 {
        Vec::new()
    } else {
        image.read(table_at, table_size as u32)?
    };
    let (mut start, mut compressed) = (0, 0);
    let mut frames = Vec::new();
    for entry in table.chunks_exact(entry as usize) {
        let (compressed_size, size) = (word(entry, 0), word(entry, 4));
        if size > MOST || compressed_size > MOST {
            return Err(Error::invalid(
                "a frame has more than 1 MiB: compress the image with smaller frames",
            ));
        }
        if size > 0 {
            frames.push(Frame {
                start,
                size,
                compressed,
                compressed_size,
            });
        }
        start += u64::from(size);
        compressed += u64::from(compressed_size);
    }
    if compressed > header_at {
        return Err(Error::io("the frames don't fit in the image"));
    }
    Ok(frames)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

nbdbox_plugin::export!(Zstd);
