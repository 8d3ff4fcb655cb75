//! A filter over a layer where every request takes long. For a client that reads upwards, it reads more than the client
//! requested, and serves the next reads from memory.
//!
//! If the layer below is writable, the mode is `single`, so that no instance keeps bytes that another one changed.

use nbdbox_plugin::{
    Device, Error, Extents, Filter, Manifest, Plugin, Prefetch, ReadReply, Result, Sparse,
    ValueKind, Writable, WriteFlags, WritePayload, Zeroable, config, next,
};

/// The largest request to the layer below.
const LARGEST: u64 = 1 << 20;

struct ReadAhead {
    below: next::LayerInfo,
    /// Size of the window, in bytes.
    window: u64,
    /// The end of the last read. A read that begins here continues it.
    last: u64,
    /// The bytes that were read ahead, and their offset.
    ahead: Vec<u8>,
    start: u64,
}

impl Plugin for ReadAhead {
    fn manifest() -> Manifest {
        Manifest::new(
            "readahead",
            env!("CARGO_PKG_VERSION"),
            "reads ahead for clients that read upwards",
        )
        .default(
            "window",
            ValueKind::Size,
            "256K",
            "bytes to read ahead, up to 1M",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let below = next::describe();
        let window = config::required_size("window")?;
        let least = u64::from(below.minimum);
        if window > LARGEST || window < least || !window.is_multiple_of(least) {
            return Err(Error::invalid(
                "window= isn't a multiple of the layer's block size, up to 1M",
            ));
        }
        Ok(Self {
            below,
            window,
            last: u64::MAX,
            ahead: Vec::new(),
            start: 0,
        })
    }

    fn describe(&self) -> Device {
        self.below.remembering(self.below.size)
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let end = offset + u64::from(length);
        let upwards = offset == self.last;
        self.last = end;
        let mut at = offset;
        let kept = self.kept(at, end);
        if !kept.is_empty() {
            reply.data(kept);
            at += kept.len() as u64;
        }
        if at == end {
            return Ok(());
        }
        if !upwards || end - at >= self.window {
            next::redirect(reply, at, end - at);
            return Ok(());
        }
        self.read_on(at)?;
        reply.data(self.kept(at, end));
        Ok(())
    }
}

impl Filter for ReadAhead {}

impl Writable for ReadAhead {
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()> {
        // `store`, not `forward`: no read may fill the window before the write is done.
        let done = next::store(payload, offset, 0, payload.length(), flags);
        self.forget(offset, payload.length().into());
        done
    }

    fn flush(&mut self) -> Result<()> {
        next::flush()
    }
}

impl Zeroable for ReadAhead {
    fn trim(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        let done = next::trim(offset, length, flags);
        self.forget(offset, length);
        done
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        let done = next::zero(offset, length, flags);
        self.forget(offset, length);
        done
    }
}

impl Sparse for ReadAhead {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        next::report(extents, offset, length, offset)?;
        Ok(())
    }
}

impl Prefetch for ReadAhead {
    fn cache(&mut self, offset: u64, length: u64) -> Result<()> {
        next::cache(offset, length)
    }
}

impl ReadAhead {
    /// The bytes from `at` up to `end` that were read ahead.
    fn kept(&self, at: u64, end: u64) -> &[u8] {
        let from = at
            .checked_sub(self.start)
            .and_then(|from| usize::try_from(from).ok());
        let rest = from
            .and_then(|from| self.ahead.get(from..))
            .unwrap_or_default();
        &rest[..rest.len().min((end - at) as usize)]
    }

    /// Reads a window from `at` on.
    fn read_on(&mut self, at: u64) -> Result<()> {
        let most = u64::from(self.below.maximum);
        let length = self.window.min(self.below.size - at).min(most);
        self.ahead = next::read(at, length as u32)?;
        self.start = at;
        Ok(())
    }

    fn forget(&mut self, offset: u64, length: u64) {
        let end = self.start + self.ahead.len() as u64;
        if offset < end && self.start < offset + length {
            self.ahead.clear();
        }
    }
}

nbdbox_plugin::export!(ReadAhead: Filter + Writable + Zeroable + Sparse + Prefetch);
