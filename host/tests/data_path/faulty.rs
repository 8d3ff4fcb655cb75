//! A device in memory that fails and waits as a test wants it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use device::fault::{Cause, Failure};
use device::identity::Client;
use device::metrics::Metrics;
use device::reply::ReadReply;
use device::{
    Absent, Catalog, Deadline, Device, ExtentsOnError, Listed, Losses, Opened, Served, Terms,
    WriteFlags,
};
use extent_map::ExtentMap;
use fair_cores::Cores;
use nbd_proto::{BlockSizes, Errno, Export, ExportFlags};
use nbdbox_config::limits::Limits;
use tokio::sync::Semaphore;

/// The device's size in bytes.
pub(crate) const SIZE: usize = 1 << 20;

/// A device whose reads at some offsets fail, or wait for [`Faulty::release`].
pub(crate) struct Faulty {
    pub(crate) terms: Terms,
    pub(crate) metrics: Arc<Metrics>,
    bytes: Mutex<Vec<u8>>,
    /// The offsets at which reads fail.
    pub(crate) broken: HashSet<u64>,
    /// The offsets at which reads wait.
    pub(crate) waiting: HashSet<u64>,
    gate: Semaphore,
    /// Whether flushes succeed.
    pub(crate) flushes: bool,
    pub(crate) losses: Arc<Losses>,
    /// Whether extents fail.
    pub(crate) no_extents: bool,
    /// The time for which each read keeps its thread busy.
    pub(crate) work: Duration,
    /// The number of reads that began.
    pub(crate) begun: AtomicU64,
    /// The number of reads that ended without being dropped, whatever the result.
    pub(crate) ended: AtomicU64,
}

impl Faulty {
    pub(crate) fn new(limits: Limits) -> Self {
        let flags = ExportFlags::SEND_FLUSH
            | ExportFlags::SEND_FUA
            | ExportFlags::SEND_TRIM
            | ExportFlags::SEND_WRITE_ZEROES;
        Self {
            terms: Terms {
                tenant: String::new(),
                export: Export {
                    name: String::new(),
                    description: None,
                    size: SIZE as u64,
                    flags,
                    block: BlockSizes::default(),
                    enforced: None,
                    allocation: true,
                },
                limits,
                quota: None,
                sparse: true,
                extents_on_error: ExtentsOnError::Data,
            },
            metrics: Arc::default(),
            bytes: Mutex::new((0..SIZE).map(pattern).collect()),
            broken: HashSet::new(),
            waiting: HashSet::new(),
            gate: Semaphore::new(0),
            flushes: false,
            losses: Arc::default(),
            no_extents: false,
            work: Duration::ZERO,
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    /// Lets this many waiting reads go on.
    pub(crate) fn release(&self, reads: usize) {
        self.gate.add_permits(reads);
    }
}

/// The byte at an offset.
pub(crate) fn pattern(offset: usize) -> u8 {
    u8::try_from(offset % 251).unwrap()
}

impl Device for Faulty {
    async fn read(
        &self,
        _: &Deadline,
        offset: u64,
        length: u32,
        mut reply: Box<ReadReply>,
    ) -> Result<Box<ReadReply>, Failure> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        if self.waiting.contains(&offset) {
            self.gate.acquire().await.unwrap().forget();
        }
        let start = Instant::now();
        while start.elapsed() < self.work {
            std::hint::spin_loop();
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
        if self.broken.contains(&offset) {
            return Err(Failure::plugin(Cause::Trap, "made to fail"));
        }
        let start = usize::try_from(offset).unwrap();
        reply.data(&self.bytes.lock().unwrap()[start..start + length as usize]);
        Ok(reply)
    }

    async fn write(
        &self,
        _: &Deadline,
        offset: u64,
        payload: Bytes,
        _: WriteFlags,
    ) -> Result<(), Failure> {
        let start = usize::try_from(offset).unwrap();
        self.bytes.lock().unwrap()[start..start + payload.len()].copy_from_slice(&payload);
        Ok(())
    }

    async fn flush(&self, _: &Deadline) -> Result<(), Failure> {
        if self.flushes {
            return Ok(());
        }
        Err(Failure::host(Errno::Eio, "the disk is gone"))
    }

    async fn trim(
        &self,
        _: &Deadline,
        _offset: u64,
        _length: u64,
        _: WriteFlags,
    ) -> Result<(), Failure> {
        Err(Failure::answer(Errno::Enotsup, None))
    }

    async fn zero(
        &self,
        _: &Deadline,
        _offset: u64,
        _length: u64,
        _: WriteFlags,
    ) -> Result<(), Failure> {
        Err(Failure::answer(Errno::Enotsup, None))
    }

    async fn cache(&self, _: &Deadline, _offset: u64, _length: u64) -> Result<(), Failure> {
        Ok(())
    }

    async fn extents(&self, _: &Deadline, map: Box<ExtentMap>) -> Result<Box<ExtentMap>, Failure> {
        if self.no_extents {
            return Err(Failure::plugin(Cause::CpuTime, "made to fail"));
        }
        Ok(map)
    }

    fn losses(&self) -> Vec<Arc<Losses>> {
        vec![Arc::clone(&self.losses)]
    }

    async fn leave(&self) {}
}

/// A catalog of one device.
pub(crate) struct Only(pub(crate) Arc<Faulty>);

impl Catalog for Only {
    type Device = Faulty;

    fn limits(&self) -> &Limits {
        &self.0.terms.limits
    }

    fn cores(&self) -> Option<&Arc<Cores>> {
        None
    }

    async fn list(&self, _: &Client) -> Result<Vec<Listed>, Failure> {
        Ok(vec![Listed {
            name: String::new(),
            description: None,
        }])
    }

    async fn find(&self, _: &Client, name: &str) -> Result<Opened<Faulty>, Absent> {
        if !name.is_empty() {
            return Err(Absent::Unknown);
        }
        let Faulty { terms, metrics, .. } = &*self.0;
        let (terms, metrics) = (Arc::new(terms.clone()), Arc::clone(metrics));
        let served = Served::new(Arc::clone(&self.0), terms, metrics);
        Ok(Opened { served, hold: None })
    }
}
