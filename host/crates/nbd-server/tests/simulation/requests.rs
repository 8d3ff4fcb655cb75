//! Good and bad requests, drawn at random, with the errors that the server may answer to a bad one.

use std::ops::Range;

use fastrand::Rng;
use nbd_proto::client::{Request, filter_payload};
use nbd_proto::limits::MAX_PAYLOAD;
use nbd_proto::wire::{FILTER_LEN, command};
use nbd_proto::{CommandFlags, ContextId, Cookie, Errno, Export, ExportFlags, Framing};

use crate::history::Content;
use crate::schedule::chance;

/// Bytes of the longest payload of a bad request.
const LONGEST_REFUSED: u32 = 128 << 10;

/// The agreements of a handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreed {
    pub(crate) framing: Framing,
    pub(crate) allocation: Option<ContextId>,
    /// The client asked for the block sizes.
    pub(crate) knows_sizes: bool,
}

/// A request to send.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The header, as the client sends it.
    pub(crate) header: Request,
    pub(crate) payload: Payload,
    /// The same with the length of the request's effect, which the header of a filter doesn't have.
    pub(crate) meant: Request,
    /// The errors that the server may answer. Empty if the request is good.
    pub(crate) refusals: Vec<Errno>,
}

/// The bytes that follow a header.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    None,
    /// The data of the write that has this number.
    Data(u64),
    /// A length and a context id.
    Filter(Vec<u8>),
    /// A number of bytes that the command doesn't take.
    Junk(u32),
}

impl Asked {
    /// All bytes that follow the header.
    pub(crate) fn payload_bytes(&self) -> Vec<u8> {
        match &self.payload {
            Payload::None => Vec::new(),
            Payload::Data(number) => {
                let offsets = (0..self.meant.length).map(|at| self.meant.offset.wrapping_add(at));
                offsets
                    .map(|at| Content::Payload(*number).byte(at))
                    .collect()
            }
            Payload::Filter(bytes) => bytes.clone(),
            Payload::Junk(length) => vec![0x5a; usize::try_from(*length).unwrap()],
        }
    }

    /// The range that it changes, and the new content. `None` if the request is bad or changes nothing.
    pub(crate) fn change(&self) -> Option<(Range<u64>, Content)> {
        let content = match (self.meant.kind, &self.payload) {
            (command::WRITE, Payload::Data(number)) => Content::Payload(*number),
            (command::TRIM, _) => Content::Trimmed,
            (command::WRITE_ZEROES, _) => Content::Zeroes,
            _ => return None,
        };
        let is_good = self.refusals.is_empty() && self.meant.length > 0;
        is_good.then(|| (self.range(), content))
    }

    /// Its range of the export. Call it for good requests only: the end of another may overflow.
    pub(crate) fn range(&self) -> Range<u64> {
        self.meant.offset..self.meant.offset + self.meant.length
    }

    pub(crate) fn has(&self, flags: CommandFlags) -> bool {
        self.meant.flags.contains(flags)
    }

    /// Whether its success promises durability.
    pub(crate) fn promises(&self) -> bool {
        let changes = self.change().is_some() && self.has(CommandFlags::FUA);
        self.refusals.is_empty() && (changes || self.meant.kind == command::FLUSH)
    }
}

/// Draws requests of one client.
pub(crate) struct Draws<'a> {
    pub(crate) random: &'a mut Rng,
    pub(crate) export: &'a Export,
    pub(crate) agreed: Agreed,
}

impl Draws<'_> {
    /// The next request. `number` identifies its payload, so no two writes may have the same.
    pub(crate) fn next(&mut self, cookie: Cookie, number: u64) -> Asked {
        let kinds = [
            command::READ,
            command::READ,
            command::READ,
            command::WRITE,
            command::WRITE,
            command::WRITE,
            command::FLUSH,
            command::TRIM,
            command::WRITE_ZEROES,
            command::CACHE,
            command::BLOCK_STATUS,
            command::BLOCK_STATUS,
        ];
        let mut kind = kinds[self.random.usize(..kinds.len())];
        if chance(self.random, 15) {
            kind = *self.random.choice(&[8, 77, u16::MAX]).unwrap();
        }
        let range = self.range(kind);
        let length = range.end - range.start;
        let mut meant = Request::new(kind, cookie, range.start, length);
        meant.flags = self.flags(kind);
        let good_flags = meant.flags;
        if chance(self.random, 100) {
            self.spoil(&mut meant);
        }
        let mut refusals = self.refusals(&meant);
        if meant.flags != good_flags {
            refusals.push(Errno::Einval);
        }
        self.dress(meant, refusals, number)
    }

    fn has(&self, flag: ExportFlags) -> bool {
        let (flags, framing) = (self.export.flags, self.agreed.framing);
        let writable = !flags.contains(ExportFlags::READ_ONLY);
        match flag {
            ExportFlags::SEND_DF => framing.has_chunks(),
            ExportFlags::BLOCK_STATUS_PAYLOAD => {
                framing == Framing::Extended && self.agreed.allocation.is_some()
            }
            ExportFlags::SEND_TRIM | ExportFlags::SEND_WRITE_ZEROES => {
                writable && flags.contains(flag)
            }
            ExportFlags::SEND_FAST_ZERO => {
                flags.contains(flag) && self.has(ExportFlags::SEND_WRITE_ZEROES)
            }
            flag => flags.contains(flag),
        }
    }

    /// The errors of a command that the export doesn't offer.
    fn unadvertised(&self, kind: u16) -> Vec<Errno> {
        let changes = matches!(kind, command::WRITE | command::TRIM | command::WRITE_ZEROES);
        if changes && self.has(ExportFlags::READ_ONLY) {
            return vec![Errno::Eperm];
        }
        let offered = match kind {
            command::READ | command::WRITE => true,
            command::FLUSH => self.has(ExportFlags::SEND_FLUSH),
            command::TRIM => self.has(ExportFlags::SEND_TRIM),
            command::WRITE_ZEROES => self.has(ExportFlags::SEND_WRITE_ZEROES),
            command::CACHE => self.has(ExportFlags::SEND_CACHE),
            command::BLOCK_STATUS => self.agreed.allocation.is_some(),
            _ => false,
        };
        if offered {
            Vec::new()
        } else {
            vec![Errno::Einval]
        }
    }

    /// Bytes of the longest read or write that the server takes.
    fn longest(&self) -> u64 {
        let sizes = self.export.enforced();
        let most = match self.agreed.knows_sizes {
            true => sizes.maximum(),
            false => MAX_PAYLOAD,
        };
        most.min(MAX_PAYLOAD).into()
    }

    /// An aligned range inside the export. If the export is empty, the range lies past its end.
    fn range(&mut self, kind: u16) -> Range<u64> {
        if kind == command::FLUSH {
            return 0..0;
        }
        let block = u64::from(self.export.enforced().minimum());
        let blocks = self.export.size / block;
        let most = match kind {
            command::READ | command::WRITE => self.longest(),
            _ => u64::MAX,
        };
        let sizes = [1, 64, 512, 512, 4096, 4096, 20_000, 70_000, u64::MAX];
        let size = *self.random.choice(&sizes).unwrap();
        let count = (size / block).min(most / block).clamp(1, blocks.max(1));
        let count = self.random.u64(1..=count);
        let first = self.random.u64(0..=blocks.saturating_sub(count));
        first * block..(first + count) * block
    }

    fn flags(&mut self, kind: u16) -> CommandFlags {
        let mut flags = CommandFlags::empty();
        let random = &mut *self.random;
        let mut draw = |flag, most| {
            if chance(random, most) {
                flags |= flag;
            }
        };
        match kind {
            command::READ => draw(CommandFlags::DF, 300),
            command::WRITE_ZEROES => {
                draw(CommandFlags::NO_HOLE, 300);
                draw(CommandFlags::FAST_ZERO, 300);
            }
            command::BLOCK_STATUS => draw(CommandFlags::REQ_ONE, 300),
            _ => {}
        }
        draw(CommandFlags::FUA, 300);
        if !self.has(ExportFlags::SEND_FUA) {
            flags.remove(CommandFlags::FUA);
        }
        if !self.has(ExportFlags::SEND_DF) {
            flags.remove(CommandFlags::DF);
        }
        if !self.has(ExportFlags::SEND_FAST_ZERO) {
            flags.remove(CommandFlags::FAST_ZERO);
        }
        flags
    }

    /// Changes one property of a request. Most changes make it bad.
    fn spoil(&mut self, meant: &mut Request) {
        let block = u64::from(self.export.enforced().minimum());
        match self.random.u8(..6) {
            0 if meant.kind == command::READ => meant.flags |= CommandFlags::NO_HOLE,
            0 => meant.flags |= CommandFlags::DF,
            1 => meant.offset = self.export.size / block * block,
            2 => meant.offset += 1,
            3 if self.longest() < LONGEST_REFUSED.into() => meant.length = self.longest() + block,
            4 => meant.length = 0,
            _ => {
                meant.offset = u64::MAX / block * block;
                meant.length = meant.length.max(2 * block);
            }
        }
    }

    /// The errors that the server may answer, without those for the flags. Empty if the request is good.
    fn refusals(&self, meant: &Request) -> Vec<Errno> {
        let Request {
            kind,
            offset,
            length,
            ..
        } = *meant;
        let mut refusals = self.unadvertised(kind);
        let invalid = match kind {
            command::FLUSH => offset | length != 0,
            command::READ | command::WRITE if length > self.longest() => true,
            command::BLOCK_STATUS if length == 0 => true,
            _ => !(offset | length).is_multiple_of(self.export.enforced().minimum().into()),
        };
        if invalid {
            refusals.push(Errno::Einval);
        }
        let end = offset.checked_add(length);
        if end.is_none_or(|end| end > self.export.size) {
            // "It SHOULD return NBD_EINVAL if it receives a read or trim request including one or more sectors beyond
            // the size of the device"; of a write "NBD_ENOSPC".
            refusals.push(match kind {
                command::WRITE | command::WRITE_ZEROES => Errno::Enospc,
                _ => Errno::Einval,
            });
        }
        refusals
    }

    /// Adds the payload, and the flag and length that go with it in this framing.
    fn dress(&mut self, meant: Request, mut refusals: Vec<Errno>, number: u64) -> Asked {
        let extended = self.agreed.framing == Framing::Extended;
        let mut header = meant;
        let mut payload = Payload::None;
        if meant.kind == command::WRITE {
            payload = Payload::Data(number);
            // QEMU omits the flag.
            if extended && !chance(self.random, 100) {
                header.flags |= CommandFlags::PAYLOAD_LEN;
            }
        } else if meant.kind == command::BLOCK_STATUS
            && self.has(ExportFlags::BLOCK_STATUS_PAYLOAD)
            && chance(self.random, 300)
        {
            let ContextId(known) = self.agreed.allocation.unwrap_or(ContextId(0));
            let wrong = chance(self.random, 200);
            if wrong {
                refusals.push(Errno::Einval);
            }
            let id = ContextId(known + u32::from(wrong));
            header.flags |= CommandFlags::PAYLOAD_LEN;
            header.length = FILTER_LEN as u64;
            payload = Payload::Filter(filter_payload(meant.length, &[id]));
        } else if extended && chance(self.random, 20) {
            let length = self.random.u32(..LONGEST_REFUSED);
            header.flags |= CommandFlags::PAYLOAD_LEN;
            header.length = length.into();
            // A filter has twelve bytes.
            header.length += u64::from(header.length == FILTER_LEN as u64);
            payload = Payload::Junk(u32::try_from(header.length).unwrap());
            refusals.push(Errno::Einval);
        }
        Asked {
            header,
            payload,
            meant,
            refusals,
        }
    }
}
