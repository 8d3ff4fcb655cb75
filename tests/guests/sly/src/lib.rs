//! A filter that passes everything on, except that it misbehaves at offset 4096, as `do=WHAT` selects.

use nbdbox_plugin::{
    Device, Error, Extents, Filter, Level, Manifest, Plugin, ReadReply, Result, Sparse, ValueKind,
    Writable, WriteFlags, WritePayload, config, log, next,
};

/// The offset at which it misbehaves.
const THERE: u64 = 4096;

struct Sly {
    deed: String,
    size: u64,
}

impl Plugin for Sly {
    fn manifest() -> Manifest {
        Manifest::new("sly", "1.0.0", "a filter that misbehaves").default(
            "do",
            ValueKind::Text,
            "",
            "what to do at 4096",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let deed = config::required_text("do")?;
        let mut size = next::describe().size;
        if deed == "grow" {
            size *= 2;
        }
        if deed == "end" {
            // Reads past the end as soon as it opens.
            next::read(size - 1, 2)?;
        }
        Ok(Self { deed, size })
    }

    fn describe(&self) -> Device {
        // Doesn't pass on that the layer below is read-only. The host must enforce that.
        Device::new(self.size)
            .parallel()
            .block_sizes(1, 4096, 32 << 20)
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        if offset == THERE {
            return self.misread(reply, length);
        }
        next::redirect(reply, offset, length.into());
        Ok(())
    }
}

impl Filter for Sly {}

impl Writable for Sly {
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()> {
        match &self.deed[..] {
            "write-now" => next::store(payload, offset, 0, payload.length(), flags),
            "write-bytes" => next::write(offset, &payload.read(0, payload.length()), flags),
            "zero" => next::zero(offset, payload.length().into(), flags),
            _ => {
                next::forward(payload, offset, 0, payload.length());
                Ok(())
            }
        }
    }
}

impl Sparse for Sly {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        if self.deed == "tell" {
            log(Level::Info, &format!("asked for {length} at {offset}"));
        }
        let (from, to) = match &self.deed[..] {
            // Reports more than the request's range, on both sides.
            "wide" => (0, 0),
            "outside" => (next::describe().size, offset),
            _ => (offset, offset),
        };
        let length = if self.deed == "wide" {
            self.size
        } else {
            length
        };
        next::report(extents, from, length, to)?;
        Ok(())
    }
}

impl Sly {
    fn misread(&self, reply: &ReadReply, length: u32) -> Result<()> {
        let size = next::describe().size;
        match &self.deed[..] {
            "outside" => next::redirect(reply, size, length.into()),
            "across" => next::redirect(reply, size - 1, length.into()),
            "wrap" => next::redirect(reply, u64::MAX, length.into()),
            "blocks" => next::redirect(reply, 1, length.into()),
            "long" => next::redirect(reply, 0, u64::from(length) + 1),
            "short" => next::redirect(reply, 0, u64::from(length) - 1),
            "direct" => drop(next::read(size, 1)?),
            "huge" => drop(next::read(0, (1 << 20) + 1)?),
            "fill" => next::fill(reply, 0, length + 1)?,
            "questions" => loop {
                next::read(0, 1)?;
            },
            "loop" => loop {
                std::hint::black_box(());
            },
            // Computes for a short time between calls. The host stops it only if it adds up these times.
            "busy" => loop {
                next::list_extents(0, 1, 1)?;
                for at in 0..100_000_u32 {
                    std::hint::black_box(at);
                }
            },
            // Computes for less than a tick between waits.
            "nibble" => loop {
                next::pause(1);
                for at in 0..500_000_u32 {
                    std::hint::black_box(at);
                }
            },
            // Ignores the errors of the layer below.
            "nag" => loop {
                drop(next::read(THERE, 1));
            },
            // Requests the bytes at which a layer of the same kind below does the same.
            "ask" => loop {
                next::read(4096, 1)?;
            },
            "work" => {
                work()?;
                next::redirect(reply, THERE, length.into());
            }
            "write" => next::write(0, b"sly", WriteFlags::empty())?,
            "answer" => return Err(Error::io("the filter doesn't like this")),
            _ => next::redirect(reply, THERE, length.into()),
        }
        Ok(())
    }
}

/// Does the same amount of work each time, a little between calls to the layer below: about 10 ms in all.
fn work() -> Result<()> {
    for _ in 0..100 {
        next::list_extents(0, 1, 1)?;
        for number in 0..200_000_u64 {
            std::hint::black_box(number);
        }
    }
    Ok(())
}

nbdbox_plugin::export!(Sly: Filter + Writable + Sparse);
