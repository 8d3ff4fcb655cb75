//! Two exports in one process: the attacker's, and a neighbour's whose client keeps reading.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use blob::{Access, Blob, Grant, Opener};
use device::identity;
use device::{ProcessQuota, TenantQuota};
use nbd_client::{Client, Refused};
use nbd_proto::Framing;
use nbd_proto::client::Request;
use nbd_server::{End, serve};
use nbdbox_config::limits::Limits;
use nbdbox_config::lock::Lock;
use nbdbox_config::settings::Settings;
use runtime::{Engine, ExportSpec, Plugin, PluginCatalog, PluginExport, Policy, cache::Cache};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A CPU limit that no call reaches, however busy the machine is, unless the attack is about CPU time.
pub(crate) const AMPLE: Duration = Duration::from_secs(20);

/// What all attacks of a run share.
pub(crate) struct World {
    pub(crate) engine: Engine,
    /// The quota of all exports together.
    pub(crate) process: Arc<ProcessQuota>,
    pub(crate) log: Log,
    pub(crate) bad: Arc<Plugin>,
    pattern: Arc<Plugin>,
    /// A file of 1 MiB of the byte 1, for blobs.
    pub(crate) file: PathBuf,
    _folder: tempfile::TempDir,
}

/// An export, and its client.
pub(crate) struct Served {
    pub(crate) export: Arc<PluginExport>,
    pub(crate) client: Client<UnixStream>,
    _stop: watch::Sender<bool>,
    _server: JoinHandle<std::io::Result<End>>,
}

impl Served {
    /// Reads, and expects a reply, which may be an error.
    pub(crate) async fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, Refused> {
        let request = Request::read(self.client.next_cookie(), offset, length);
        let answer = self.client.ask(request, &[]).await.unwrap();
        answer.map(|answer| answer.bytes)
    }
}

/// The complete log.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The lines that name an export.
    pub(crate) fn lines_of(&self, export: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        let tag = format!("export=\"{export}\"");
        text.lines()
            .filter(|line| line.contains(&tag))
            .map(str::to_owned)
            .collect()
    }
}

impl Log {
    /// Forgets all lines.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let log = Log::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_env_filter("warn,plugin=info")
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_nbdbox"));
        let cache = Cache::temporary().compiling_with(program);
        let engine = Engine::new(cache).unwrap();
        let limits = Limits::default();
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
        let bad = target.join("test-guests/bad.wasm");
        assert!(bad.exists(), "run `make plugins`");
        let process = ProcessQuota::unlimited();
        let quota = TenantQuota::unlimited_within(&process);
        let bad = Plugin::load(&engine, &bad, &limits, &quota).await.unwrap();
        let pattern = target.join("plugins/pattern.wasm");
        let pattern = Plugin::load(&engine, &pattern, &limits, &quota).await;
        let pattern = pattern.unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, vec![1; 1 << 20]).unwrap();
        Self {
            engine,
            process,
            log,
            bad,
            pattern,
            file,
            _folder: folder,
        }
    }

    /// A tenant without limits of its own, so that only those of its exports count.
    pub(crate) fn quota(&self) -> Arc<TenantQuota> {
        TenantQuota::unlimited_within(&self.process)
    }

    /// Loads a file as an operator's command line would.
    pub(crate) async fn load_file(&self, path: &Path) -> anyhow::Result<Arc<Plugin>> {
        let quota = self.quota();
        Plugin::load(&self.engine, path, &Limits::default(), &quota).await
    }

    /// Makes an export `name` of a plugin. The error is the text for the operator.
    pub(crate) async fn open(
        &self,
        plugin: &Arc<Plugin>,
        name: &str,
        settings: &[&str],
        access: Access,
        cpu: Duration,
    ) -> anyhow::Result<Arc<PluginCatalog>> {
        let spec = self.spec(name, settings, access, cpu)?;
        Ok(Arc::new(
            PluginCatalog::new(Arc::clone(plugin), spec).await?,
        ))
    }

    /// An export as an operator would configure it.
    pub(crate) fn spec(
        &self,
        name: &str,
        settings: &[&str],
        access: Access,
        cpu: Duration,
    ) -> anyhow::Result<ExportSpec> {
        let grant = Grant {
            name: "b".to_owned(),
            path: self.file.clone(),
            access,
            lock: Some(Lock::Shared),
        };
        let quota = self.quota();
        let work = quota.lane.charging(None);
        Ok(ExportSpec {
            tenant: String::new(),
            metrics: Arc::default(),
            name: name.to_owned(),
            settings: Settings::parse(settings)?,
            blobs: vec![Blob::open(grant, &Opener::new(name), work)?],
            limits: Limits {
                cpu,
                open_cpu: cpu,
                wall: Duration::from_secs(30),
                ..Limits::default()
            },
            quota,
            policy: Policy::default(),
            filters: Vec::new(),
        })
    }

    /// Connects a client to an export.
    pub(crate) async fn serve(catalog: Arc<PluginCatalog>, name: &str) -> Served {
        let export = catalog.join(name).await.unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(serve(
            theirs,
            identity::Client::default(),
            None,
            catalog,
            stopped,
        ));
        let client = Client::negotiate(ours, name, Framing::Structured);
        Served {
            export,
            client: client.await.unwrap(),
            _stop: stop,
            _server: server,
        }
    }

    /// Starts a client that reads the neighbour's export until it's stopped.
    pub(crate) async fn neighbour(&self) -> Neighbour {
        let catalog = self.open(
            &self.pattern,
            "neighbour",
            &["size=1G"],
            Access::ReadOnly,
            AMPLE,
        );
        let mut served = Self::serve(catalog.await.unwrap(), "neighbour").await;
        let stop = Arc::new(AtomicBool::new(false));
        let latencies = Arc::new(Mutex::new(Vec::new()));
        let (stopped, samples) = (Arc::clone(&stop), Arc::clone(&latencies));
        let reading = tokio::spawn(async move {
            // The test keeps this sender, because the server stops when it's dropped.
            let served = &mut served;
            let mut offset = 0u64;
            while !stopped.load(Ordering::Relaxed) {
                let start = Instant::now();
                let bytes = served.read(offset, 4096).await;
                samples.lock().unwrap().push(start.elapsed());
                assert_eq!(
                    bytes.expect("the neighbour reads"),
                    pattern_at(offset),
                    "the neighbour's data at {offset}"
                );
                offset = (offset + 4096 * 1021) % ((1 << 30) - 4096);
                // Not too fast: the test asks whether an attack holds up the neighbour.
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        });
        Neighbour {
            stop,
            latencies,
            reading,
        }
    }
}

/// The neighbour's client, which keeps reading.
pub(crate) struct Neighbour {
    stop: Arc<AtomicBool>,
    latencies: Arc<Mutex<Vec<Duration>>>,
    reading: JoinHandle<()>,
}

impl Neighbour {
    /// The number of reads since the last call, and the 99th percentile of their times.
    pub(crate) fn take(&self) -> (usize, Duration) {
        let mut samples = std::mem::take(&mut *self.latencies.lock().unwrap());
        samples.sort_unstable();
        let p99 = samples
            .get(samples.len() * 99 / 100)
            .copied()
            .unwrap_or_default();
        (samples.len(), p99)
    }

    /// Waits until the client has read a few more times, which shows that nothing holds it up.
    pub(crate) async fn goes_on(&self) {
        let before = self.latencies.lock().unwrap().len();
        while self.latencies.lock().unwrap().len() < before + 3 {
            assert!(!self.reading.is_finished(), "the neighbour's client failed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Stops the client, and checks that every read was right.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.reading
            .await
            .expect("every read of the neighbour was right");
    }
}

fn pattern_at(offset: u64) -> Vec<u8> {
    (0..512)
        .flat_map(|word| (offset + word * 8).to_be_bytes())
        .collect()
}

/// The resident memory of this process, in bytes.
pub(crate) fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
