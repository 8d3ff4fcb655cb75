//! A disk of bytes 0x42 that misbehaves on request: with `at=CALL do=WHAT` this call misbehaves, and the others are
//! correct. With `offset=N` only calls for that offset misbehave; with `after=N` only calls after the first N.

mod raw;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

use nbdbox_plugin::{
    Access, Blob, Device, Errno, Error, Extent, ExtentKind, Extents, Level, Manifest, Mappable,
    Mapping, Plugin, Prefetch, Progress, ReadReply, Result, Sparse, ValueKind, Writable,
    WriteFlags, WritePayload, Zeroable, config, log,
};

struct Bad {
    at: String,
    deed: String,
    offset: Option<u64>,
    /// The number of calls that still succeed.
    good: u64,
    size: u64,
    parallel: bool,
    blob: Option<Blob>,
    /// The memory that the guest hoards.
    hoard: Vec<Vec<u8>>,
    handles: Vec<Blob>,
    /// The reply's handle of an earlier call.
    kept: u32,
    /// The extents' handle of an earlier call.
    kept_extents: u32,
    /// The reads of this instance so far.
    reads: u8,
}

const FILL: u8 = 0x42;

/// An allocator that never returns once [`STUCK`] is set. The host calls it to store the bytes of a result.
struct Stuck;

static STUCK: AtomicBool = AtomicBool::new(false);

unsafe impl GlobalAlloc for Stuck {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        while STUCK.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Stuck = Stuck;

impl Plugin for Bad {
    fn manifest() -> Manifest {
        Manifest::new("bad", "1.0.0", "misbehaves on request")
            .default(
                "at",
                ValueKind::Text,
                "",
                "open, read, write, flush, trim, zero, report, locate, cache",
            )
            .default("do", ValueKind::Text, "", "what to do there")
            .optional("offset", ValueKind::Number, "only in calls for this offset")
            .default(
                "after",
                ValueKind::Number,
                "0",
                "only after this number of calls",
            )
            .default("size", ValueKind::Size, "1M", "size of the disk")
            .default("mode", ValueKind::Text, "single", "single or parallel")
            .default("blob", ValueKind::Text, "", "open this blob")
    }

    fn open(_name: &str) -> Result<Self> {
        let blob = config::required_text("blob")?;
        let mut bad = Self {
            at: config::required_text("at")?,
            deed: config::required_text("do")?,
            offset: config::number("offset")?,
            good: config::number("after")?.unwrap_or(0),
            size: config::required_size("size")?,
            parallel: config::required_text("mode")? == "parallel",
            blob: (!blob.is_empty()).then(|| Blob::open(&blob)).transpose()?,
            hoard: Vec::new(),
            handles: Vec::new(),
            kept: 0,
            kept_extents: 0,
            reads: 0,
        };
        bad.misbehave("open", None)?;
        Ok(bad)
    }

    fn describe(&self) -> Device {
        let device = Device::new(self.size);
        let device = match (self.at.as_str(), self.deed.as_str()) {
            ("describe", "block-sizes") => device.block_sizes(3, 1000, 5),
            ("describe", "blocks-of-512") => device.block_sizes(512, 4096, 1 << 20),
            ("describe", "huge") => Device::new(u64::MAX),
            // The second instance and later ones give other answers than the first.
            ("describe", deed) if deed.starts_with("changes-") && !self.is_first() => match deed {
                "changes-size" => Device::new(self.size + 4096),
                "changes-blocks" => device.block_sizes(512, 4096, 1 << 20),
                "changes-mode" => return device,
                "changes-read-only" => device.read_only(true),
                "changes-immutable" => device.immutable(),
                _ => device.description("another one"),
            },
            _ => device,
        };
        let device = match (self.at.as_str(), self.deed.as_str()) {
            ("locate", _) => device.immutable().read_only(true),
            (_, "changing") => device.immutable(),
            _ => device,
        };
        if self.parallel {
            device.parallel()
        } else {
            device
        }
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        if self.deed.starts_with("changes-") && self.offset == Some(offset) {
            std::process::abort();
        }
        if self.is_due("read", Some(offset)) {
            match self.deed.as_str() {
                "short" => {
                    reply.data(&vec![FILL; length as usize - 1]);
                    return Ok(());
                }
                "long" => {
                    reply.data(&vec![FILL; length as usize + 1]);
                    return Ok(());
                }
                "twice" => reply.data(&vec![FILL; length as usize]),
                "untouched" => return Ok(()),
                "pieces" => (0..length).for_each(|_| {
                    reply.data(&[FILL]);
                    reply.zeroes(0);
                }),
                "past-blob" => {
                    if let Some(blob) = &self.blob {
                        reply.blob(blob, u64::MAX - 1, u64::from(length));
                    }
                    return Ok(());
                }
                "blob" => {
                    if let Some(blob) = &self.blob {
                        reply.blob(blob, offset, u64::from(length));
                    }
                    return Ok(());
                }
                "blob-read" => {
                    if let Some(blob) = &self.blob {
                        reply.data(&blob.read(offset, length)?);
                    }
                    return Ok(());
                }
                // Both return the number of this instance's reads, and work long enough for calls to overlap.
                // `changing` declares itself immutable, too.
                "changing" | "counting" => {
                    spin(5);
                    self.reads = self.reads.wrapping_add(1);
                    reply.data(&vec![self.reads; length as usize]);
                    return Ok(());
                }
                "past-memory" => raw::data_past_memory(reply),
                "4-gib-list" => raw::data_4_gib(reply),
                "kept-handle" => raw::kept_handle(self.kept + 1),
                "wrong-handle" => {
                    if let Some(blob) = &self.blob {
                        raw::wrong_kind_of_handle(blob);
                    }
                }
                "blob-pieces" => {
                    if let Some(blob) = &self.blob {
                        (0..length).for_each(|at| reply.blob(blob, offset + u64::from(at), 1));
                    }
                    return Ok(());
                }
                _ => self.do_it()?,
            }
        }
        self.kept = reply.handle();
        reply.data(&vec![FILL; length as usize]);
        Ok(())
    }
}

impl Writable for Bad {
    fn write(&mut self, payload: &WritePayload, offset: u64, _flags: WriteFlags) -> Result<()> {
        if self.is_due("write", Some(offset)) {
            match (self.deed.as_str(), &self.blob) {
                ("stuck-realloc", _) => {
                    STUCK.store(true, Ordering::Relaxed);
                    drop(payload.read(0, 1));
                }
                ("past-payload", _) => drop(payload.read(0, payload.length() + 1)),
                ("past-blob", Some(blob)) => payload.store(blob, u64::MAX - 1, 0, payload.length()),
                ("store", Some(blob)) => payload.store(blob, offset, 0, payload.length()),
                ("store-past-payload", Some(blob)) => payload.store(blob, 0, 1, payload.length()),
                _ => self.do_it()?,
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.misbehave("flush", None)
    }
}

impl Zeroable for Bad {
    fn trim(&mut self, offset: u64, _length: u64, _flags: WriteFlags) -> Result<()> {
        self.misbehave("trim", Some(offset))
    }

    fn zero(&mut self, offset: u64, _length: u64, _flags: WriteFlags) -> Result<()> {
        self.misbehave("zero", Some(offset))
    }
}

impl Prefetch for Bad {
    fn cache(&mut self, offset: u64, _length: u64) -> Result<()> {
        self.misbehave("cache", Some(offset))
    }
}

impl Sparse for Bad {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        if self.is_due("report", Some(offset)) {
            let add = |offset, length| extents.add(offset, length, ExtentKind::Hole);
            match self.deed.as_str() {
                "same" => loop {
                    add(offset, 1)?;
                },
                "descending" => {
                    for at in (offset..offset + length).rev().step_by(2) {
                        add(at, 1)?;
                    }
                }
                "alternating" => {
                    for at in (offset..offset + length).step_by(2) {
                        add(at, 1)?;
                    }
                }
                "outside" => loop {
                    add(offset + length, 1)?;
                },
                "empty" => loop {
                    add(offset, 0)?;
                },
                "overflow" => {
                    extents.add(u64::MAX, 2, ExtentKind::Hole)?;
                }
                "add-all" => {
                    let all = vec![
                        Extent {
                            offset,
                            length: 1,
                            kind: ExtentKind::Hole
                        };
                        40_000
                    ];
                    loop {
                        extents.add_all(&all)?;
                    }
                }
                "add-all-past-memory" => raw::add_all_past_memory(extents.handle()),
                "after-full" => {
                    let mut adds = (0u64..).map(|at| add(offset + 2 * at, 1));
                    while adds.next().transpose()? != Some(Progress::Full) {}
                    loop {
                        add(offset, 1)?;
                    }
                }
                "kept-handle" => raw::kept_extents(self.kept_extents + 1),
                "hole" => {
                    add(0, u64::MAX)?;
                    return Ok(());
                }
                adds if adds.starts_with("adds-") => {
                    let count = adds["adds-".len()..].parse().unwrap_or(0);
                    for _ in 0..count {
                        add(offset, 1)?;
                    }
                    return Ok(());
                }
                "blob-extents" => {
                    extents.blob(self.granted()?, 0, 4096, 0)?;
                    return Ok(());
                }
                _ => self.do_it()?,
            }
        }
        self.kept_extents = extents.handle();
        extents.add(offset, length, ExtentKind::Data)?;
        Ok(())
    }
}

impl Mappable for Bad {
    fn locate(&mut self, mapping: &Mapping, offset: u64, _length: u64) -> Result<()> {
        if !self.is_due("locate", Some(offset)) {
            return Ok(());
        }
        match (self.deed.as_str(), &self.blob) {
            ("map", Some(blob)) => {
                mapping.blob(0, self.size, blob, 0);
            }
            ("scattered", Some(blob)) => {
                for at in (0..self.size).step_by(2) {
                    mapping.blob(at, 1, blob, self.size - at - 1);
                }
            }
            ("past-blob", Some(blob)) => {
                mapping.blob(0, self.size, blob, u64::MAX - 1);
            }
            ("downwards", _) => {
                mapping.zeroes(offset, 1);
                mapping.zeroes(0, 1);
            }
            ("endless", _) => loop {
                mapping.zeroes(0, 0);
            },
            ("elsewhere", _) => {
                mapping.zeroes(offset + 1, u64::MAX);
            }
            ("nothing", _) => {}
            _ => self.do_it()?,
        }
        Ok(())
    }
}

impl Bad {
    /// Whether this call must misbehave.
    fn is_due(&mut self, at: &str, offset: Option<u64>) -> bool {
        if self.at != at || (self.offset.is_some() && offset != self.offset) {
            return false;
        }
        let due = self.good == 0;
        self.good = self.good.saturating_sub(1);
        due
    }

    fn misbehave(&mut self, at: &str, offset: Option<u64>) -> Result<()> {
        if self.is_due(at, offset) {
            self.do_it()
        } else {
            Ok(())
        }
    }

    fn granted(&self) -> Result<&Blob> {
        self.blob.as_ref().ok_or_else(|| Errno::Eperm.into())
    }

    /// Whether this is the first instance. Each instance leaves a mark in the blob.
    fn is_first(&self) -> bool {
        let Some(blob) = &self.blob else {
            return true;
        };
        let marked = blob.read(0, 1).is_ok_and(|mark| mark != [0]);
        let written = blob.write(0, &[1], WriteFlags::empty());
        !marked && written.is_ok()
    }

    /// The deeds that any call can do.
    fn do_it(&mut self) -> Result<()> {
        match self.deed.as_str() {
            "loop" => loop {
                std::hint::black_box(());
            },
            "slow" => spin(30),
            "work" => work(),
            "recurse" => {
                std::hint::black_box(recurse(1));
            }
            "trap" => std::process::abort(),
            "log-trap" => {
                log(Level::Warn, "last words");
                std::process::abort();
            }
            "panic" => panic!("told to"),
            "grow" => loop {
                self.hoard.push(vec![1; 1 << 20]);
            },
            "grow-politely" => {
                let mut bytes: Vec<u8> = Vec::new();
                bytes
                    .try_reserve_exact(1 << 30)
                    .map_err(|_| Error::new(Errno::Enomem, "no memory"))?;
            }
            // Takes all the memory that it gets, and keeps it.
            "hoard" => {
                let mut page: Vec<u8> = Vec::new();
                while page.try_reserve_exact(1 << 20).is_ok() {
                    page.resize(1 << 20, 1);
                    self.hoard.push(std::mem::take(&mut page));
                }
            }
            // Leaks a mebibyte in each call.
            "leak" => self.hoard.push(vec![1; 1 << 20]),
            "handles" => loop {
                self.handles
                    .push(Blob::open(&config::required_text("blob")?)?);
            },
            "log" => {
                for _ in 0..10_000 {
                    log(Level::Warn, "flood \x1b[2J\nforged line");
                }
            }
            "log-long" => log(Level::Warn, &"x".repeat(1 << 20)),
            "log-huge" => log(Level::Warn, &"x".repeat(10 << 20)),
            "explain" => return Err(Error::io("the words of the plugin")),
            // Fails once. All later calls succeed.
            "explain-once" => {
                self.good = u64::MAX;
                return Err(Error::io("the words of the plugin"));
            }
            "einval" => return Err(Errno::Einval.into()),
            "enotsup" => return Err(Errno::Enotsup.into()),
            "access" => {
                let blob = self.blob.as_ref().ok_or(Errno::Eperm)?;
                assert!(blob.access() != Access::ReadWrite);
                blob.write(0, b"x", WriteFlags::empty())?;
            }
            // Operations that a grant may not allow. The test checks the errno.
            "blob-size" => {
                if self.granted()?.size()? != self.size {
                    return Err(Error::invalid("the blob has another size than the disk"));
                }
            }
            "blob-access" => _ = self.granted()?.access(),
            "blob-prefetch" => self.granted()?.prefetch(0, 1)?,
            "blob-write" => self.granted()?.write(0, b"x", WriteFlags::empty())?,
            "blob-write-past" => {
                let blob = self.granted()?;
                blob.write(blob.size()?, b"x", WriteFlags::empty())?;
            }
            "blob-trim" => self.granted()?.trim(0, 1, WriteFlags::empty())?,
            "blob-zero" => self.granted()?.zero(0, 1, WriteFlags::empty())?,
            "blob-flush" => self.granted()?.flush()?,
            "invalid-utf8" => raw::log_invalid_utf8(),
            "4-gib-string" => raw::log_4_gib(),
            "invalid-enum" => raw::log_invalid_enum(),
            "forged-handle" => raw::forged_handle(),
            "double-drop" => {
                if let Some(blob) = self.blob.take() {
                    raw::double_drop(blob);
                }
            }
            "strings" => loop {
                nbdbox_plugin::explain("a million strings");
            },
            "not-granted" => {
                let _blob = Blob::open("/etc/passwd")?;
            }
            // The page cache answers at once, so the guest never waits.
            "reads" => loop {
                let blob = self.blob.as_ref().ok_or(Errno::Eperm)?;
                std::hint::black_box(blob.read(0, 512)?);
            },
            "wait" => loop {
                let _now = nbdbox_plugin::wall_ms();
            },
            "" => {}
            other => return Err(Error::invalid(format!("no deed `{other}`"))),
        }
        Ok(())
    }
}

/// Does the same amount of work each time, about 10 ms.
fn work() {
    for number in 0..20_000_000_u64 {
        std::hint::black_box(number);
    }
}

/// Works for about this many milliseconds.
fn spin(milliseconds: u64) {
    let start = nbdbox_plugin::monotonic_ms();
    while nbdbox_plugin::monotonic_ms() - start < milliseconds {}
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "that is the deed")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(depth) + recurse(depth + 1) + 1
}

nbdbox_plugin::export!(Bad: Writable + Zeroable + Sparse + Mappable + Prefetch);
