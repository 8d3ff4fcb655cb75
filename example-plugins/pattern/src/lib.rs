//! A disk on which every 8 bytes hold their own offset, big-endian, as in nbdkit's pattern plugin. A client can check
//! whatever it reads.

use nbdbox_plugin::{Device, Manifest, Plugin, ReadReply, Result, ValueKind, config};

/// Bytes of a piece of a reply: fits the cache, and needs few calls.
const CHUNK: usize = 64 * 1024;

struct Pattern {
    size: u64,
    chunk: Vec<u8>,
}

impl Plugin for Pattern {
    fn manifest() -> Manifest {
        Manifest::new(
            "pattern",
            env!("CARGO_PKG_VERSION"),
            "every 8 bytes hold their own offset, big-endian",
        )
        .default("size", ValueKind::Size, "1M", "size of the disk")
    }

    fn open(_name: &str) -> Result<Self> {
        Ok(Self {
            size: config::required_size("size")?,
            chunk: vec![0; CHUNK],
        })
    }

    fn describe(&self) -> Device {
        Device::new(self.size)
            .parallel()
            .immutable()
            .description("every 8 bytes hold their own offset, big-endian")
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let (mut at, mut left) = (offset, length as usize);
        while left > 0 {
            let piece = &mut self.chunk[..left.min(CHUNK)];
            fill(piece, at);
            reply.data(piece);
            at += piece.len() as u64;
            left -= piece.len();
        }
        Ok(())
    }
}

/// Fills `bytes` with the pattern from `offset` on.
fn fill(bytes: &mut [u8], offset: u64) {
    let word = |at: u64| (at & !7).to_be_bytes();
    let skip = (offset % 8) as usize;
    let head = bytes.len().min((8 - skip) % 8);
    let (head, words) = bytes.split_at_mut(head);
    head.copy_from_slice(&word(offset)[skip..][..head.len()]);
    let at = offset + head.len() as u64;
    // Whole words in a loop of their own, which the compiler vectorises.
    let (words, tail) = words.as_chunks_mut::<8>();
    for (word, at) in words.iter_mut().zip((at..).step_by(8)) {
        *word = at.to_be_bytes();
    }
    let at = at + 8 * words.len() as u64;
    tail.copy_from_slice(&word(at)[..tail.len()]);
}

nbdbox_plugin::export!(Pattern);
