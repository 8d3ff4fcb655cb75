//! Compressed clusters. Any input decodes to exactly one cluster, or to an error.

use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::io::Read as _;

use crate::header::Compression;
use crate::{Error, Result};

/// Decodes one cluster of `size` bytes.
pub fn decode(kind: Compression, bytes: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut cluster = vec![0; size];
    let whole = match kind {
        Compression::Deflate => inflate(bytes, &mut cluster),
        Compression::Zstd => {
            window(bytes).is_some_and(|window| window <= MAX_WINDOW) && unzstd(bytes, &mut cluster)
        }
    };
    if whole {
        Ok(cluster)
    } else {
        Err(Error::malformed("a compressed cluster can't be decoded"))
    }
}

fn inflate(bytes: &[u8], cluster: &mut [u8]) -> bool {
    // Without the flag for a zlib header: raw deflate. Output past the cluster is never made.
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (_, _, made) = decompress(&mut DecompressorOxide::new(), bytes, cluster, 0, flags);
    made == cluster.len()
}

/// The largest window of a decoder, in bytes. Encoders request a window of one cluster, or of 8 MiB at their highest
/// levels.
const MAX_WINDOW: u64 = 8 << 20;

fn unzstd(bytes: &[u8], cluster: &mut [u8]) -> bool {
    StreamingDecoder::new(bytes).is_ok_and(|mut decoder| decoder.read_exact(cluster).is_ok())
}

/// The window that a zstd frame requires (RFC 8878, 3.1.1.1): memory of the decoder.
fn window(frame: &[u8]) -> Option<u64> {
    let [_, _, _, _, descriptor, rest @ ..] = frame else {
        return None;
    };
    if descriptor & 1 << 5 == 0 {
        let window = rest.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A single segment: the window is the content.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let field = rest.get(dictionary..)?;
    let number = |count: usize| {
        let bytes = field.get(..count)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    };
    match descriptor >> 6 {
        0 => number(1),
        1 => Some(number(2)? + 256),
        2 => number(4),
        _ => number(8),
    }
}
