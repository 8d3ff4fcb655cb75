//! A small disk in memory that keeps every rule of `nbdbox test` except the one that `lie` names.

use nbdbox_plugin::{
    Blob, Device, Errno, ExtentKind, Extents, Manifest, Mappable, Mapping, Plugin, ReadReply,
    Result, Sparse, ValueKind, Writable, WriteFlags, WritePayload, Zeroable, config,
};

/// The size of the disk in bytes.
const SIZE: usize = 1 << 20;

/// The bytes before this offset have data at first, and the rest are zeroes.
const DATA: usize = 512 << 10;

struct Liar {
    lie: String,
    bytes: Vec<u8>,
    reads: u8,
    hoard: Vec<u8>,
    handles: Vec<Blob>,
}

impl Plugin for Liar {
    fn manifest() -> Manifest {
        Manifest::new("liar", "1.0.0", "breaks the rule that it's told to break").default(
            "lie",
            ValueKind::Text,
            "",
            "the name of a rule of `nbdbox test`",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let mut bytes: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8 | 1).collect();
        bytes[DATA..].fill(0);
        Ok(Self {
            lie: config::required_text("lie")?,
            bytes,
            reads: 0,
            hoard: Vec::new(),
            handles: Vec::new(),
        })
    }

    fn describe(&self) -> Device {
        let device = Device::new(SIZE as u64);
        match self.lie.as_str() {
            "parallel" => device.parallel(),
            "fresh" => device.parallel().read_only(true),
            "immutable" | "mapping" => device.immutable().read_only(true),
            _ => device,
        }
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let range = range(offset, length.into());
        let mut bytes = self.bytes[range.clone()].to_vec();
        self.reads = self.reads.wrapping_add(1);
        match self.lie.as_str() {
            // Mistakes the request's first byte for the disk's.
            "read-cuts" => bytes[0] = 0xff,
            "read-largest" if length as usize == SIZE => return Err(Errno::Eio.into()),
            "block-sizes" if length == 1 => return Err(Errno::Einval.into()),
            // The data depend on the number of reads.
            "fresh" | "immutable" => bytes.fill(self.reads),
            "faults" => std::process::abort(),
            "memory" if self.hoard.is_empty() => self.hoard = vec![1; 60 << 20],
            "cpu-time" if length as usize == SIZE => loop {
                std::hint::black_box(());
            },
            "handles" => {
                while self.handles.len() < 220 {
                    self.handles.push(Blob::open("disk")?);
                }
            }
            "pieces" if length as usize == SIZE => {
                let mut rest = &bytes[..];
                for _ in 0..1800 {
                    reply.data(&rest[..1]);
                    reply.zeroes(1);
                    rest = &rest[2..];
                }
                reply.data(rest);
                return Ok(());
            }
            _ => {}
        }
        reply.data(&bytes);
        Ok(())
    }
}

impl Writable for Liar {
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()> {
        let length = payload.length();
        let bytes = payload.read(0, length);
        match self.lie.as_str() {
            // Loses the last byte of each write.
            "write-model" => {
                let kept = &bytes[..bytes.len() - 1];
                self.bytes[range(offset, kept.len() as u64)].copy_from_slice(kept);
                return Ok(());
            }
            "durable" if flags.contains(WriteFlags::FUA) => return Err(Errno::Einval.into()),
            _ => {}
        }
        self.bytes[range(offset, length.into())].copy_from_slice(&bytes);
        Ok(())
    }
}

impl Zeroable for Liar {
    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        if flags.contains(WriteFlags::FAST_ZERO) {
            if self.lie == "zero-modes" {
                // Fails, but does half of it.
                self.bytes[range(offset, length / 2)].fill(0);
            }
            return Err(Errno::Enotsup.into());
        }
        self.bytes[range(offset, length)].fill(0);
        Ok(())
    }
}

impl Sparse for Liar {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, one: bool) -> Result<()> {
        let end = offset + length;
        match self.lie.as_str() {
            "extents-answer" => return Err(Errno::Eio.into()),
            // Reports the hole one block too early.
            "extents-zeroes" => {
                extents.add(DATA as u64 - 512, SIZE as u64, ExtentKind::Hole)?;
            }
            // The extents depend on the request's range.
            "extents-cuts" => {
                extents.add(offset + length / 2, length, ExtentKind::Undefined)?;
            }
            "extents-one" if one => {
                extents.add(offset, length, ExtentKind::Undefined)?;
            }
            // Reports the map of its start, without later writes.
            "write-extents" => {
                extents.add(DATA as u64, SIZE as u64, ExtentKind::Hole)?;
            }
            "extents-budget" => {
                for _ in 0..60_000 {
                    extents.add(offset, 1, ExtentKind::Data)?;
                }
            }
            _ => {
                let zeroes = self.bytes.iter().rev().take_while(|byte| **byte == 0);
                let start = (SIZE - zeroes.count()) as u64;
                if start < end {
                    extents.add(start, end - start, ExtentKind::Zero)?;
                }
            }
        }
        Ok(())
    }
}

impl Mappable for Liar {
    fn locate(&mut self, mapping: &Mapping, _offset: u64, _length: u64) -> Result<()> {
        if self.lie == "mapping" {
            mapping.zeroes(0, SIZE as u64);
        }
        Ok(())
    }
}

fn range(offset: u64, length: u64) -> std::ops::Range<usize> {
    offset as usize..(offset + length) as usize
}

nbdbox_plugin::export!(Liar: Writable + Zeroable + Sparse + Mappable);
