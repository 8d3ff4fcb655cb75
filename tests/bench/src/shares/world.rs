//! Five tenants, of one server, or each with a server of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::CORES;
use crate::client::Endpoint;
use crate::scene::Scene;

/// The tenants. Each has a socket with its name, and one export, whose name is empty.
const TENANTS: [Tenant; 5] = [
    Tenant {
        name: "loops",
        weight: 100,
        plugin: "target/test-guests/bad.wasm",
        settings: "at = \"read\", do = \"loop\", mode = \"parallel\"",
        nbdkit: &["eval", "get_size=echo 1M", "pread=while :; do :; done"],
    },
    Tenant {
        name: "allocates",
        weight: 100,
        plugin: "target/test-guests/bad.wasm",
        settings: "at = \"read\", do = \"grow\", mode = \"parallel\"",
        // As much as the limit of nbdbox's plugin allows.
        nbdkit: &[
            "eval",
            "get_size=echo 1M",
            "pread=x=$(head -c 64M /dev/zero | tr '\\0' x); head -c $3 /dev/zero",
        ],
    },
    Tenant {
        name: "floods",
        weight: 100,
        plugin: "target/plugins/pattern.wasm",
        settings: "size = \"1G\"",
        nbdkit: &["pattern", "1G"],
    },
    Tenant {
        name: "dawdles",
        weight: 100,
        plugin: "target/plugins/pattern.wasm",
        settings: "size = \"1G\"",
        nbdkit: &["pattern", "1G"],
    },
    Tenant {
        name: "fifth",
        weight: 100,
        plugin: "target/plugins/pattern.wasm",
        settings: "size = \"1G\"",
        nbdkit: &["pattern", "1G"],
    },
];

/// A server that doesn't answer within this time has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Tenant {
    name: &'static str,
    /// The tenant's `cpu-weight`, if the server has weights.
    weight: u32,
    plugin: &'static str,
    settings: &'static str,
    nbdkit: &'static [&'static str],
}

/// The share of the server that a tenant's weight promises.
pub(super) fn promised(tenant: &str) -> f64 {
    let weight = |tenants: &mut dyn Iterator<Item = &Tenant>| -> u32 {
        tenants.map(|tenant| tenant.weight).sum()
    };
    let own = weight(&mut TENANTS.iter().filter(|one| one.name == tenant));
    f64::from(own) / f64::from(weight(&mut TENANTS.iter()))
}

/// The servers of all tenants. Dropping it kills them.
pub(super) struct World {
    pub(super) label: String,
    folder: PathBuf,
    processes: Vec<Process>,
}

/// A process with all of its descendants. Dropping it kills them.
pub(super) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Each process leads a group of its own, so the commands of nbdkit's shell end with it.
        if let Some(group) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

impl World {
    /// One nbdbox with five tenants.
    pub(super) fn nbdbox(scene: &Scene) -> anyhow::Result<Self> {
        let folder = std::path::absolute(scene.path("tenants"))?;
        std::fs::create_dir_all(&folder)?;
        let mut config = String::new();
        for tenant in &TENANTS {
            config.push_str(&tenant.config(&folder)?);
        }
        let path = folder.join("nbdbox.toml");
        std::fs::write(&path, config)?;
        let mut words = vec![scene.nbdbox.display().to_string()];
        words.extend(["serve", "--config"].map(str::to_owned));
        words.push(path.display().to_string());
        let server = Process::start(CORES[0], 0, &words, &folder)?;
        Self::ready("nbdbox, five tenants", folder, vec![server])
    }

    /// Five nbdkits.
    pub(super) fn nbdkit(scene: &Scene) -> anyhow::Result<Self> {
        let folder = std::path::absolute(scene.path("processes"))?;
        std::fs::create_dir_all(&folder)?;
        let servers = TENANTS.iter().map(|tenant| {
            let socket = folder.join(tenant.name).display().to_string();
            let mut words = vec!["nbdkit", "-f", "-U", &socket];
            words.extend(tenant.nbdkit);
            Process::start(CORES[0], 0, &words, &folder)
        });
        let servers = servers.collect::<anyhow::Result<Vec<_>>>()?;
        Self::ready("nbdkit, five processes", folder, servers)
    }

    fn ready(label: &str, folder: PathBuf, processes: Vec<Process>) -> anyhow::Result<Self> {
        let start = Instant::now();
        for tenant in &TENANTS {
            while !folder.join(tenant.name).exists() {
                ensure!(
                    start.elapsed() < PATIENCE,
                    "{label}: {} doesn't come",
                    tenant.name
                );
                sleep(Duration::from_millis(5));
            }
        }
        Ok(Self {
            label: label.to_owned(),
            folder,
            processes,
        })
    }

    pub(super) fn endpoint(&self, tenant: &str) -> Endpoint {
        Endpoint::Unix(self.folder.join(tenant))
    }

    /// Starts the attacks, in a process that yields the load's core to the fifth.
    pub(super) fn attackers(&self) -> anyhow::Result<Process> {
        debug_assert!(!self.processes.is_empty(), "there are servers");
        let own = std::env::current_exe()?.display().to_string();
        let folder = self.folder.display().to_string();
        Process::start(CORES[1], 19, &[&own, "--attack", &folder], &self.folder)
    }
}

impl Tenant {
    fn config(&self, folder: &Path) -> anyhow::Result<String> {
        let Self {
            name,
            weight,
            settings,
            ..
        } = self;
        let plugin = std::path::absolute(self.plugin)?;
        ensure!(plugin.exists(), "{} isn't built: make plugins", self.plugin);
        let (socket, plugin) = (folder.join(name), plugin.display().to_string());
        let socket = socket.display().to_string();
        Ok(format!(
            "[[listener]]\nname = {name:?}\nunix = {socket:?}\n\
             [tenant.{name}]\nclients = [{{ listener = {name:?} }}]\nlimits = {{ cpu-weight = {weight} }}\n\
             [[tenant.{name}.export]]\nname = \"\"\nplugin = {plugin:?}\nsettings = {{ {settings} }}\n"
        ))
    }
}

impl Process {
    /// Starts a command on one core, with this nice value.
    fn start<S: AsRef<str>>(
        core: usize,
        nice: i32,
        words: &[S],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let program = words.first().map_or("", AsRef::as_ref);
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))?;
        let child = Command::new("nice")
            .args(["-n", &nice.to_string(), "taskset", "-c", &core.to_string()])
            .args(words.iter().map(AsRef::as_ref))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("can't start {program}"))?;
        Ok(Self(child))
    }
}
