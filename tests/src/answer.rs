//! A whole reply, checked by the rules: a chunk that breaks one fails the test.

use nbd_proto::wire::chunk;

/// One chunk of a structured or extended reply, without its cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Reply flags.
    pub flags: u16,
    /// Reply type.
    pub kind: u16,
    /// The header's offset, if headers are extended.
    pub offset: Option<u64>,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// One descriptor of a block status reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusDescriptor {
    /// The length in bytes.
    pub length: u64,
    /// Status flags.
    pub flags: u64,
}

/// The reply to one request, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request's cookie.
    pub cookie: u64,
    /// 0, or the error.
    pub error: u32,
    /// The text of a structured error.
    pub text: String,
    /// The bytes of a read.
    pub data: Vec<u8>,
    /// The descriptors of a block status.
    pub extents: Vec<StatusDescriptor>,
    /// The chunks; empty for a simple reply.
    pub chunks: Vec<Chunk>,
}

impl Answer {
    /// A simple reply, with the data that follows it.
    pub(crate) fn simple(cookie: u64, error: u32, data: Vec<u8>) -> Self {
        Self {
            cookie,
            error,
            text: String::new(),
            data,
            extents: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// The reply to a request for a range, in chunks of which the last one has the flag DONE.
    ///
    /// # Panics
    /// The chunks break a rule of the section "Structured reply types".
    pub(crate) fn of_chunks(
        cookie: u64,
        chunks: Vec<Chunk>,
        range: (u64, u64),
        reads: bool,
    ) -> Self {
        let mut answer = Self::simple(cookie, 0, Vec::new());
        let mut content = Content::new(range);
        for (index, part) in chunks.iter().enumerate() {
            let done = part.flags & chunk::FLAG_DONE != 0;
            assert_eq!(done, index + 1 == chunks.len(), "done, but not last");
            assert_eq!(part.flags & !chunk::FLAG_DONE, 0, "an unknown reply flag");
            match part.kind {
                chunk::NONE => assert!(done && part.payload.is_empty(), "a NONE chunk: {part:?}"),
                chunk::OFFSET_DATA => {
                    assert!(part.payload.len() > 8, "a data chunk without data");
                    content.put(be(&part.payload[..8]), &part.payload[8..]);
                }
                chunk::OFFSET_HOLE => {
                    assert_eq!(part.payload.len(), 12, "a hole chunk's length");
                    let length = usize::try_from(be(&part.payload[8..])).unwrap();
                    assert_ne!(length, 0, "a hole of no bytes");
                    content.put(be(&part.payload[..8]), &vec![0; length]);
                }
                chunk::BLOCK_STATUS => answer.extents = compact_extents(&part.payload),
                chunk::BLOCK_STATUS_EXT => answer.extents = wide_extents(&part.payload),
                kind if kind & chunk::ERROR_BIT != 0 => answer.take_error(kind, &part.payload),
                kind => panic!("a chunk of unknown type {kind}"),
            }
        }
        if reads && answer.error == 0 {
            answer.data = content.complete();
        }
        answer.chunks = chunks;
        answer
    }

    /// The number of chunks of this kind.
    #[must_use]
    pub fn count(&self, kind: u16) -> usize {
        self.chunks
            .iter()
            .filter(|chunk| chunk.kind == kind)
            .count()
    }

    fn take_error(&mut self, kind: u16, payload: &[u8]) {
        self.error = u32::try_from(be(&payload[..4])).unwrap();
        assert_ne!(self.error, 0, "an error chunk without an error");
        let length = usize::try_from(be(&payload[4..6])).unwrap();
        assert!(length <= 4096, "an error text of {length} bytes");
        let fields = if kind == chunk::ERROR_OFFSET { 8 } else { 0 };
        assert_eq!(
            payload.len(),
            6 + length + fields,
            "an error chunk's length"
        );
        let text = payload[6..6 + length].to_vec();
        self.text = String::from_utf8(text).expect("an error text is UTF-8");
    }
}

/// The bytes of a read. Its chunks may come in any order.
struct Content {
    offset: u64,
    bytes: Vec<u8>,
    have: Vec<bool>,
}

impl Content {
    fn new((offset, length): (u64, u64)) -> Self {
        // Only a read fills its range. The range of another request may be too long to reserve memory for.
        let length = usize::try_from(length).unwrap();
        let length = if length <= 64 << 20 { length } else { 0 };
        Self {
            offset,
            bytes: vec![0; length],
            have: vec![false; length],
        }
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let at = offset
            .checked_sub(self.offset)
            .expect("a chunk before the request");
        let at = usize::try_from(at).unwrap();
        let end = at + bytes.len();
        assert!(end <= self.bytes.len(), "a chunk beyond the request");
        assert!(!self.have[at..end].contains(&true), "chunks that overlap");
        self.have[at..end].fill(true);
        self.bytes[at..end].copy_from_slice(bytes);
    }

    fn complete(self) -> Vec<u8> {
        assert!(!self.have.contains(&false), "a read that isn't covered");
        self.bytes
    }
}

fn compact_extents(payload: &[u8]) -> Vec<StatusDescriptor> {
    assert!(payload.len() >= 12, "block status without a descriptor");
    let pieces = payload[4..].chunks(8);
    pieces
        .map(|piece| StatusDescriptor {
            length: be(&piece[..4]),
            flags: be(&piece[4..8]),
        })
        .collect()
}

fn wide_extents(payload: &[u8]) -> Vec<StatusDescriptor> {
    assert!(payload.len() >= 24, "block status without a descriptor");
    let pieces = payload[8..].chunks(16);
    pieces
        .map(|piece| StatusDescriptor {
            length: be(&piece[..8]),
            flags: be(&piece[8..16]),
        })
        .collect()
}

/// A big-endian number of up to 8 bytes.
fn be(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}
