//! Cuts the power at any moment. Afterwards the disk has everything that the client was promised to be durable. Every
//! other sector has its old content, or one that was written later.
//!
//! `NBDBOX_POWER_CUTS` sets the number of disks; each is cut at eight moments.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod model;
mod recorder;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use blob::{Access, Blob};
use bytes::Bytes;
use device::reply::ReadReply;
use device::{Deadline, Device as _, TenantQuota, WriteFlags};
use fastrand::Rng;
use nbdbox_config::limits::Limits;
use nbdbox_config::settings::Settings;
use runtime::{
    Engine, ExportSpec, FilterKind, FilterSpec, Plugin, PluginCatalog, PluginExport, PluginFilter,
    Policy, cache::Cache,
};

use model::{Change, Deed, Model};
use recorder::{Event, Recorder, SECTOR};

type Disk = Recorder<Deed>;

/// Sectors of the disk that clients see.
const SECTORS: usize = 512;

/// The bytes that `cow` needs in addition to those of the disk.
const BESIDES: usize = 64 << 10;

/// The requests to each disk.
const REQUESTS: usize = 60;

/// The moments at which the power is cut, for each disk.
const CUTS: usize = 8;

/// The layers over the disk.
#[derive(Clone, Copy, Debug)]
enum Stack {
    /// A file, served by reference.
    File,
    /// An overlay for changes, over a pattern.
    Cow,
}

struct Plugins {
    file: Arc<Plugin>,
    pattern: Arc<Plugin>,
    cow: Arc<Plugin>,
}

impl Plugins {
    async fn load() -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_nbdbox"));
        let cache = Cache::temporary().compiling_with(program);
        let engine = Engine::new(cache).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins");
        let load = async |name: &str| {
            let path = folder.join(name).with_extension("wasm");
            assert!(path.exists(), "run `make plugins`");
            let (limits, quota) = (Limits::default(), TenantQuota::unlimited());
            Plugin::load(&engine, &path, &limits, &quota).await.unwrap()
        };
        Self {
            file: load("file").await,
            pattern: load("pattern").await,
            cow: load("cow").await,
        }
    }

    /// Opens the stack over a disk.
    async fn open(&self, stack: Stack, disk: &Arc<Disk>) -> Arc<PluginExport> {
        let source = Arc::clone(disk);
        let blob = |name: &str| Blob::over(name.to_owned(), Access::ReadWrite, source);
        let size = format!("size={}", SECTORS * SECTOR);
        let (plugin, settings, blobs, filters) = match stack {
            Stack::File => (&self.file, Settings::default(), vec![blob("disk")], vec![]),
            Stack::Cow => {
                let cow = FilterSpec {
                    kind: FilterKind::Plugin(Box::new(PluginFilter {
                        plugin: Arc::clone(&self.cow),
                        settings: Settings::parse(&["block=4K"]).unwrap(),
                        blobs: vec![blob("overlay")],
                        limits: Limits::default(),
                    })),
                    below: Arc::default(),
                };
                let settings = Settings::parse(&[size.as_str()]).unwrap();
                (&self.pattern, settings, vec![], vec![cow])
            }
        };
        let spec = ExportSpec {
            tenant: String::new(),
            metrics: Arc::default(),
            name: String::new(),
            settings,
            blobs,
            limits: Limits::default(),
            quota: TenantQuota::unlimited(),
            policy: Policy::default(),
            filters,
        };
        let catalog = PluginCatalog::new(Arc::clone(plugin), spec).await.unwrap();
        catalog.join("").await.unwrap()
    }
}

impl Stack {
    fn fresh_disk(self) -> Vec<u8> {
        match self {
            Self::File => vec![0; SECTORS * SECTOR],
            Self::Cow => vec![0; SECTORS * SECTOR + BESIDES],
        }
    }

    /// A sector's bytes for this content: 0 is the content before any write, and 1 is zeroes.
    fn sector(self, index: usize, content: u64) -> Vec<u8> {
        let word = |word: usize| match (content, self) {
            (0, Self::Cow) => (index * SECTOR + word * 8) as u64,
            (0, Self::File) | (1, _) => 0,
            _ => content << 32 | (index * SECTOR + word) as u64,
        };
        (0..SECTOR / 8)
            .flat_map(|at| word(at).to_be_bytes())
            .collect()
    }
}

fn deadline() -> Deadline {
    Deadline::unattended(Duration::from_secs(3600))
}

/// Makes some requests one after the other, and notes them on the disk.
async fn work(stack: Stack, export: &PluginExport, disk: &Disk, random: &mut Rng) {
    for content in 2..u64::try_from(REQUESTS).unwrap() + 2 {
        let first = random.usize(..SECTORS);
        let count = 1 + random.usize(..24).min(SECTORS - first - 1);
        let (offset, length) = ((first * SECTOR) as u64, (count * SECTOR) as u64);
        let durable = random.usize(..6) == 0;
        let flags = if durable {
            WriteFlags::FUA
        } else {
            WriteFlags::empty()
        };
        let kind = random.usize(..8);
        if kind == 0 {
            export.flush(&deadline()).await.unwrap();
            disk.note(Deed::IsFlushed);
            continue;
        }
        let deadline = deadline();
        let change = Change {
            first,
            count,
            content: if kind == 1 { 1 } else { content },
            durable,
        };
        disk.note(Deed::Asks(change.clone()));
        if kind == 1 {
            let zeroed = export.zero(&deadline, offset, length, flags | WriteFlags::NO_HOLE);
            zeroed.await.unwrap();
        } else {
            let sectors = first..first + count;
            let bytes: Vec<u8> = sectors
                .flat_map(|index| stack.sector(index, content))
                .collect();
            let written = export.write(&deadline, offset, Bytes::from(bytes), flags);
            written.await.unwrap();
        }
        disk.note(Deed::IsTold(change));
    }
}

async fn content(export: &PluginExport) -> Vec<u8> {
    let length = u32::try_from(SECTORS * SECTOR).unwrap();
    let mut reply = Box::<ReadReply>::default();
    reply.reset(length);
    let reply = export.read(&deadline(), 0, length, reply).await;
    let mut reply = reply.unwrap();
    reply.flatten();
    reply.bytes().to_vec()
}

/// Works on a disk, cuts the power at some moments, and opens the remains each time.
async fn cut(plugins: &Plugins, stack: Stack, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let disk = Disk::over(stack.fresh_disk());
    let export = plugins.open(stack, &disk).await;
    work(stack, &export, &disk, &mut random).await;
    drop(export);
    let events = disk.events();
    for _ in 0..CUTS {
        let moment = random.usize(..events.len() + 1);
        let past = &events[..moment];
        let mut model = Model::new(SECTORS);
        for event in past {
            if let Event::Noted(deed) = event {
                model.note(deed);
            }
        }
        let left = Disk::over(disk.after_a_cut(past, &mut random));
        let reopened = plugins.open(stack, &left).await;
        let what = format!("{stack:?}, seed {seed}, cut after {moment} events");
        let found = content(&reopened).await;
        model.check(&found, &what, |index, content| stack.sector(index, content));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_flushed_survives_a_power_cut_and_nothing_else_appears() {
    let disks = std::env::var("NBDBOX_POWER_CUTS").ok();
    let disks = disks.map_or(24, |text| text.parse().unwrap());
    let plugins = Plugins::load().await;
    for seed in 0..disks {
        for stack in [Stack::File, Stack::Cow] {
            cut(&plugins, stack, seed).await;
        }
    }
}

/// Shows that the test can fail: it detects a disk that answers flushes without flushing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_lies_about_flushes_is_found_out() {
    let plugins = Plugins::load().await;
    let disk = Disk::over(Stack::File.fresh_disk());
    let export = plugins.open(Stack::File, &disk).await;
    work(Stack::File, &export, &disk, &mut Rng::with_seed(1)).await;
    let events = disk.events();
    let mut model = Model::new(SECTORS);
    for event in &events {
        if let Event::Noted(deed) = event {
            model.note(deed);
        }
    }
    let unflushed = events.into_iter().filter_map(|event| match event {
        Event::Flushed => None,
        Event::Written { start, bytes, .. } => Some(Event::Written {
            start,
            bytes,
            durable: false,
        }),
        noted => Some(noted),
    });
    let unflushed: Vec<_> = unflushed.collect();
    let left = disk.after_a_cut(&unflushed, &mut Rng::with_seed(2));
    let checked = std::panic::catch_unwind(|| {
        model.check(&left, "lies", |index, content| {
            Stack::File.sector(index, content)
        });
    });
    assert!(checked.is_err(), "nothing was lost");
}
