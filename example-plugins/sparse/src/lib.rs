//! A reproducible disk of data, holes, allocated zeroes and undefined stretches, in runs of any length down to one
//! byte, with exact extents: for tests of clients that read extents.

use nbdbox_plugin::{
    Device, Error, Extent, ExtentKind, Extents, Manifest, Plugin, Progress, ReadReply, Result,
    Sparse, ValueKind, config,
};

/// Zeroes of this length or more are a piece of their own. Shorter runs are copied with the bytes around them, because
/// a reply has at most 4096 pieces.
const LONG: u64 = 32 * 1024;

/// Bytes of a piece of a reply.
const CHUNK: u64 = 64 * 1024;

/// Extents in one call of `add_all`.
const BATCH: usize = 256;

struct Runs {
    size: u64,
    seed: u64,
    /// Length of a run, in bytes. Neighbours may have the same kind.
    run: u64,
    chunk: Vec<u8>,
    batch: Vec<Extent>,
}

impl Plugin for Runs {
    fn manifest() -> Manifest {
        Manifest::new(
            "sparse",
            env!("CARGO_PKG_VERSION"),
            "a reproducible mix of data, holes, zeroes and undefined stretches",
        )
        .default("size", ValueKind::Size, "1G", "size of the disk")
        .default(
            "seed",
            ValueKind::Number,
            "1",
            "selects the disk: each seed makes another one",
        )
        .default(
            "runlength",
            ValueKind::Size,
            "1M",
            "length of a run, 1 byte or more",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let run = config::required_size("runlength")?;
        if run == 0 {
            return Err(Error::invalid(
                "runlength=0: a run must have at least 1 byte",
            ));
        }
        Ok(Self {
            size: config::required_size("size")?,
            seed: config::number("seed")?.unwrap_or(1),
            run,
            chunk: Vec::new(),
            batch: Vec::with_capacity(BATCH),
        })
    }

    fn describe(&self) -> Device {
        Device::new(self.size).parallel().immutable()
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let end = offset + u64::from(length);
        let mut at = offset;
        while at < end {
            let stop = self.stretch_end(at, end);
            match self.kind(at / self.run) {
                ExtentKind::Hole | ExtentKind::Zero if stop - at >= LONG => reply.zeroes(stop - at),
                _ => {
                    let stop = self.mixed_end(at, end);
                    self.make(at, stop);
                    reply.data(&self.chunk);
                    at = stop;
                    continue;
                }
            }
            at = stop;
        }
        Ok(())
    }
}

impl Sparse for Runs {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        let end = offset + length;
        let mut at = offset;
        while at < end {
            // Many extents in one call: the call costs more than an extent.
            self.batch.clear();
            while at < end && self.batch.len() < BATCH {
                let stop = self.stretch_end(at, end);
                self.batch.push(Extent {
                    offset: at,
                    length: stop - at,
                    kind: self.kind(at / self.run),
                });
                at = stop;
            }
            if extents.add_all(&self.batch)? == Progress::Full {
                break;
            }
        }
        Ok(())
    }
}

impl Runs {
    /// The kind of run number `index`.
    fn kind(&self, index: u64) -> ExtentKind {
        match mix(self.seed ^ mix(index)) % 4 {
            0 => ExtentKind::Data,
            1 => ExtentKind::Hole,
            2 => ExtentKind::Zero,
            _ => ExtentKind::Undefined,
        }
    }

    /// The end of the run that contains `at`, at most `end`.
    fn run_end(&self, at: u64, end: u64) -> u64 {
        (at - at % self.run).saturating_add(self.run).min(end)
    }

    /// The end of the stretch of runs of one kind that contains `at`. Examines a few runs.
    fn stretch_end(&self, at: u64, end: u64) -> u64 {
        let kind = self.kind(at / self.run);
        let mut stop = self.run_end(at, end);
        while stop < end && self.kind(stop / self.run) == kind {
            stop = self.run_end(stop, end);
        }
        stop
    }

    /// The end of the next piece of bytes: a chunk, or the next long stretch of zeroes.
    fn mixed_end(&self, at: u64, end: u64) -> u64 {
        let limit = end.min(at + CHUNK);
        let mut stop = at;
        while stop < limit {
            let next = self.stretch_end(stop, limit);
            let zeroes = matches!(
                self.kind(stop / self.run),
                ExtentKind::Hole | ExtentKind::Zero
            );
            if zeroes && next - stop >= LONG && stop > at {
                break;
            }
            stop = next;
        }
        stop
    }

    /// Makes the bytes of `[at, stop)` in the chunk: zeroes where the kind is one of zeroes, noise elsewhere.
    fn make(&mut self, at: u64, stop: u64) {
        self.chunk.clear();
        for at in at..stop {
            let byte = match self.kind(at / self.run) {
                ExtentKind::Hole | ExtentKind::Zero => 0,
                // Never 0, so that a reader can tell data from zeroes.
                _ => (mix(self.seed.wrapping_add(at / 8)) >> (at % 8 * 8)) as u8 | 1,
            };
            self.chunk.push(byte);
        }
    }
}

/// The finalizer of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014): spreads any bit over all.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

nbdbox_plugin::export!(Runs: Sparse);
