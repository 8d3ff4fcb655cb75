//! A filter over a layer that sometimes fails. It repeats a failed request, after a pause that doubles.
//!
//! After a crash, the host makes a fresh instance of the plugin, after a pause of its own. This filter waits longer.

use nbdbox_plugin::{
    Device, Errno, Error, Extents, Filter, Level, Manifest, Plugin, Prefetch, ReadReply, Result,
    Sparse, ValueKind, Writable, WriteFlags, WritePayload, Zeroable, config, log, next,
};

struct Retry {
    retries: u64,
    delay: u32,
}

impl Plugin for Retry {
    fn manifest() -> Manifest {
        Manifest::new(
            "retry",
            env!("CARGO_PKG_VERSION"),
            "repeats requests that fail in the layer below",
        )
        .default(
            "retries",
            ValueKind::Number,
            "5",
            "how often to repeat a request, at most",
        )
        .default(
            "retry-delay",
            ValueKind::Number,
            "50",
            "milliseconds before the first repetition; doubles each time",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let delay = config::number("retry-delay")?.unwrap_or_default();
        Ok(Self {
            retries: config::number("retries")?.unwrap_or_default(),
            delay: u32::try_from(delay).map_err(|_| Error::invalid("retry-delay= is too large"))?,
        })
    }

    fn describe(&self) -> Device {
        let below = next::describe();
        below.stateless(below.size)
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        self.again(|| next::fill(reply, offset, length))
    }
}

impl Filter for Retry {}

impl Writable for Retry {
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()> {
        self.again(|| next::store(payload, offset, 0, payload.length(), flags))
    }

    // Never repeat a flush: the second one may succeed without the changes that the first one lost.
    fn flush(&mut self) -> Result<()> {
        next::flush()
    }
}

impl Zeroable for Retry {
    fn trim(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        self.again(|| next::trim(offset, length, flags))
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        self.again(|| next::zero(offset, length, flags))
    }
}

impl Sparse for Retry {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        self.again(|| next::report(extents, offset, length, offset).map(drop))
    }
}

impl Prefetch for Retry {
    fn cache(&mut self, offset: u64, length: u64) -> Result<()> {
        next::cache(offset, length)
    }
}

impl Retry {
    /// Repeats a request until it succeeds, fails too often, or fails for a reason that won't go away.
    fn again(&self, ask: impl Fn() -> Result<()>) -> Result<()> {
        let mut delay = self.delay;
        for turn in 1..=self.retries {
            let error = match ask() {
                Err(error) if may_pass(&error) => error,
                done => return done,
            };
            log(
                Level::Warn,
                &format!("repeating a failed request, attempt {turn}: {error}"),
            );
            next::pause(delay);
            delay = delay.saturating_mul(2);
        }
        ask()
    }
}

/// Whether a later attempt may succeed: not if the request is denied, invalid, or has no room.
fn may_pass(error: &Error) -> bool {
    matches!(error.errno(), Errno::Eio | Errno::Enomem)
}

nbdbox_plugin::export!(Retry: Filter + Writable + Zeroable + Sparse + Prefetch);
