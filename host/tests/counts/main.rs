//! The cost of a read in counts, not in times: the numbers are the same on every machine.
//!
//! The plugin and the connection are the real ones; the client is so simple that it allocates nothing.
//! (`tests/tests/protocol/syscalls.rs` counts system calls, from outside.)

#![expect(clippy::disallowed_methods, reason = "the test's own tasks")]
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod recall;

use std::alloc::System;
use std::path::Path;
use std::sync::Arc;

use blob::Blob;
use device::identity;
use device::{ProcessQuota, TenantQuota};
use fair_cores::Cores;
use nbd_client::Client;
use nbd_proto::client::Request;
use nbd_proto::{Cookie, Framing};
use nbd_server::serve;
use nbdbox_config::limits::{Limits, TenantLimits};
use nbdbox_config::settings::Settings;
use runtime::{Engine, ExportSpec, Plugin, PluginCatalog, PluginExport, Policy, cache::Cache};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, watch};

/// Held by each test, because a count of allocations is that of the whole process.
static ALONE: Mutex<()> = Mutex::const_new(());

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests that are sent at once.
const DEPTH: usize = 64;

/// Bytes of a read.
const LENGTH: u32 = 4096;

/// Bytes of the header of a structured reply with one data chunk.
const HEADER: usize = 28;

/// Rounds until all memory that the server keeps is allocated.
const WARM_UP: usize = 50;

/// Rounds that are counted.
const ROUNDS: usize = 100;

/// The average number of allocations for a read is below this. A read takes one, wasmtime's for the fiber; the rest is
/// room for those of the epoch's ticks that a guest meets now and then.
const ALLOCATIONS: usize = 2;

struct Scene {
    export: Arc<PluginExport>,
    stream: UnixStream,
    requests: Vec<u8>,
    replies: Vec<u8>,
    _stop: watch::Sender<bool>,
}

impl Scene {
    async fn new(quota: Arc<TenantQuota>) -> Self {
        let catalog = pattern(quota).await;
        let client = identity::Client::default();
        let export = catalog.join("").await.unwrap();
        let (mut stream, theirs) = UnixStream::pair().unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(serve(theirs, client, None, catalog, stopped));
        let negotiated = Client::negotiate(&mut stream, "", Framing::Structured);
        negotiated.await.unwrap();
        let mut requests = Vec::new();
        for index in 0..DEPTH as u64 {
            Request::read(Cookie(index), index * 12_288, LENGTH)
                .encode(Framing::Structured, &mut requests)
                .unwrap();
        }
        Self {
            export,
            stream,
            requests,
            replies: vec![0; DEPTH * (HEADER + LENGTH as usize)],
            _stop: stop,
        }
    }

    /// Sends the requests and receives the replies, without an allocation.
    async fn round(&mut self) {
        self.stream.write_all(&self.requests).await.unwrap();
        self.stream.read_exact(&mut self.replies).await.unwrap();
    }
}

async fn pattern(quota: Arc<TenantQuota>) -> Arc<PluginCatalog> {
    let settings = Settings::parse(&["size=1M"]).unwrap();
    catalog("pattern", settings, Vec::new(), Policy::default(), quota).await
}

/// The one export of an example plugin.
async fn catalog(
    plugin: &str,
    settings: Settings,
    blobs: Vec<Blob>,
    policy: Policy,
    quota: Arc<TenantQuota>,
) -> Arc<PluginCatalog> {
    let program = Path::new(env!("CARGO_BIN_EXE_nbdbox"));
    let cache = Cache::temporary().compiling_with(program);
    let engine = Engine::new(cache).unwrap();
    let limits = Limits::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins");
    let plugin = folder.join(plugin).with_extension("wasm");
    assert!(plugin.exists(), "run `make plugins`");
    let plugin = Plugin::load(&engine, &plugin, &limits, &TenantQuota::unlimited())
        .await
        .unwrap();
    let spec = ExportSpec {
        tenant: String::new(),
        metrics: Arc::default(),
        name: String::new(),
        settings,
        blobs,
        limits,
        quota,
        policy,
        filters: Vec::new(),
    };
    Arc::new(PluginCatalog::new(plugin, spec).await.unwrap())
}

/// Once alone, and once as a tenant that shares the cores with others and has no rates. Both are in one test, because
/// the counts are those of the whole process.
#[tokio::test(flavor = "current_thread")]
async fn what_a_read_costs() {
    let _alone = ALONE.lock().await;
    count(TenantQuota::unlimited()).await;
    let cores = Cores::new(1);
    count(TenantQuota::sharing(
        "tenant",
        &TenantLimits::default(),
        &ProcessQuota::unlimited(),
        &cores,
    ))
    .await;
}

async fn count(quota: Arc<TenantQuota>) {
    let mut scene = Scene::new(quota).await;
    for _ in 0..WARM_UP {
        scene.round().await;
    }
    let metrics = Arc::clone(&scene.export);
    let counters = || {
        let metrics = metrics.metrics();
        let operations = metrics.operations.total();
        [
            operations,
            metrics.guest_calls.get(),
            metrics.host_calls.get(),
            metrics.instances.total(),
        ]
    };
    let (before, memory) = (counters(), Region::new(COUNTING));
    for _ in 0..ROUNDS {
        scene.round().await;
    }
    let allocated = memory.change();
    let [requests, guest_calls, host_calls, instances] = counters();
    let reads = (ROUNDS * DEPTH) as u64;

    assert_eq!(requests - before[0], reads);
    // A read that met a tick made room for one more instance, which has been opened.
    let opened = instances - before[3];
    assert_eq!(
        guest_calls - before[1],
        reads + opened,
        "one entry per read"
    );
    assert_eq!(host_calls - before[2], reads, "one host call per read");
    let calls = allocated.allocations + allocated.reallocations;
    let bound = ALLOCATIONS * ROUNDS * DEPTH;
    assert!(
        calls < bound,
        "{calls} allocations for {reads} reads: {allocated:?}"
    );
}
