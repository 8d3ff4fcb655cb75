//! A filter that reverses the bytes of each word, like nbdkit's swab filter: for a disk that a machine of the other
//! byte order wrote.

use nbdbox_plugin::{
    Device, Error, Extents, Filter, Manifest, Plugin, Prefetch, ReadReply, Result, Sparse,
    ValueKind, Writable, WriteFlags, WritePayload, Zeroable, config, next,
};

mod whole;

/// Bytes that are reversed in one piece.
const PIECE: u32 = 256 * 1024;

struct Swab {
    below: next::LayerInfo,
    /// Bytes of a word: 1, 2, 4 or 8.
    word: u32,
}

impl Plugin for Swab {
    fn manifest() -> Manifest {
        Manifest::new(
            "swab",
            env!("CARGO_PKG_VERSION"),
            "reverses the bytes of each word",
        )
        .default(
            "swab-bits",
            ValueKind::Number,
            "16",
            "bits of a word: 8 (no change), 16, 32 or 64",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let word = match config::number("swab-bits")? {
            Some(8) => 1,
            None | Some(16) => 2,
            Some(32) => 4,
            Some(64) => 8,
            Some(bits) => {
                return Err(Error::invalid(format!(
                    "swab-bits={bits}: must be 8, 16, 32 or 64"
                )));
            }
        };
        let below = next::describe();
        Ok(Self { below, word })
    }

    fn describe(&self) -> Device {
        let (below, word) = (&self.below, self.word);
        let least = below.minimum.max(word);
        let most = below.maximum - below.maximum % least;
        // If the disk ends inside a word, clients can't reach the rest.
        let size = below.size - below.size % u64::from(word);
        below
            .stateless(size)
            .block_sizes(least, below.preferred.max(least), most)
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        if self.word == 1 {
            next::redirect(reply, offset, length.into());
            return Ok(());
        }
        for (at, length) in pieces(length) {
            let mut bytes = next::read(offset + u64::from(at), length)?;
            self.turn(&mut bytes);
            reply.data(&bytes);
        }
        Ok(())
    }
}

/// Returns `false`: the filter moves bytes within their words, so zeroes of the layer below are zeroes here. Other
/// bytes never go by reference, unless words are single bytes.
impl Filter for Swab {}

impl Writable for Swab {
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()> {
        if self.word == 1 {
            next::forward(payload, offset, 0, payload.length());
            return Ok(());
        }
        for (at, length) in pieces(payload.length()) {
            let mut bytes = payload.read(at, length);
            self.turn(&mut bytes);
            next::write(offset + u64::from(at), &bytes, flags)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        next::flush()
    }
}

impl Zeroable for Swab {
    fn trim(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        next::trim(offset, length, flags)
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        next::zero(offset, length, flags)
    }
}

impl Sparse for Swab {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        whole::report(extents, offset, length, self.word.into())
    }
}

impl Prefetch for Swab {
    fn cache(&mut self, offset: u64, length: u64) -> Result<()> {
        next::cache(offset, length)
    }
}

impl Swab {
    /// Reverses each word. `bytes` are whole words, because the word is the minimum block size.
    fn turn(&self, bytes: &mut [u8]) {
        match self.word {
            2 => each(bytes, |word: [u8; 2]| {
                u16::from_ne_bytes(word).swap_bytes().to_ne_bytes()
            }),
            4 => each(bytes, |word: [u8; 4]| {
                u32::from_ne_bytes(word).swap_bytes().to_ne_bytes()
            }),
            8 => each(bytes, |word: [u8; 8]| {
                u64::from_ne_bytes(word).swap_bytes().to_ne_bytes()
            }),
            _ => {}
        }
    }
}

/// A loop without a call in it, which the compiler vectorises.
fn each<const N: usize>(bytes: &mut [u8], turn: impl Fn([u8; N]) -> [u8; N]) {
    for word in bytes.as_chunks_mut::<N>().0 {
        *word = turn(*word);
    }
}

/// Cuts a request into pieces: the offset and the length of each.
fn pieces(length: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..length)
        .step_by(PIECE as usize)
        .map(move |at| (at, PIECE.min(length - at)))
}

nbdbox_plugin::export!(Swab: Filter + Writable + Zeroable + Sparse + Prefetch);
