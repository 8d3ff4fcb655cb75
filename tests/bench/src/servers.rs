//! The servers that the benchmark measures.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::client::{Connected, Endpoint};
use crate::cores::Cores;
use crate::scene::Scene;

/// A server that doesn't answer within this time has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The number of sockets so far; each server has a socket of its own.
static SOCKETS: AtomicU32 = AtomicU32::new(0);

/// A kind of server, and how to start it.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// An example plugin with its options and settings.
    Nbdbox(&'static str, Vec<String>),
    /// An nbdkit plugin with its options, and the number of threads if it isn't nbdkit's default.
    Nbdkit(Vec<String>, Option<u32>),
    /// A raw file, and the kind of its asynchronous I/O.
    QemuNbd(PathBuf, &'static str),
    /// A qcow2 image, and the kind of its asynchronous I/O.
    QemuNbdImage(PathBuf, &'static str),
    /// The server without work, which is no peer.
    Floor,
}

impl Kind {
    /// The name in tables.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Nbdbox(..) => "nbdbox".to_owned(),
            Self::Nbdkit(_, None) => "nbdkit".to_owned(),
            Self::Nbdkit(_, Some(threads)) => format!("nbdkit -t {threads}"),
            Self::QemuNbd(_, aio) | Self::QemuNbdImage(_, aio) => format!("qemu-nbd {aio}"),
            Self::Floor => "no work".to_owned(),
        }
    }

    /// The command that serves on `endpoint`, in the foreground.
    pub(crate) fn command(&self, scene: &Scene, endpoint: &Endpoint) -> Command {
        match self {
            Self::Nbdbox(plugin, words) => {
                let mut command = Command::new(&scene.nbdbox);
                command.arg("serve");
                match endpoint {
                    Endpoint::Unix(path) => command.arg("-U").arg(path),
                    Endpoint::Tcp(port) => command.arg("-p").arg(port.to_string()),
                };
                command
                    .arg(format!("target/plugins/{plugin}.wasm"))
                    .args(words);
                command
            }
            Self::Nbdkit(words, threads) => {
                let mut command = Command::new("nbdkit");
                command.arg("-f");
                match endpoint {
                    Endpoint::Unix(path) => command.arg("-U").arg(path),
                    Endpoint::Tcp(port) => command
                        .args(["-i", "127.0.0.1", "-p"])
                        .arg(port.to_string()),
                };
                threads.iter().for_each(|threads| {
                    command.arg("-t").arg(threads.to_string());
                });
                command.args(words);
                command
            }
            Self::QemuNbd(path, aio) | Self::QemuNbdImage(path, aio) => {
                let mut command = Command::new("qemu-nbd");
                command.args(["--persistent", "--shared=0", "--cache=writeback"]);
                match self {
                    Self::QemuNbdImage(..) => command.args(["--read-only", "--format=qcow2"]),
                    _ => command.arg("--format=raw"),
                };
                command.arg(format!("--aio={aio}"));
                match endpoint {
                    Endpoint::Unix(path) => command.arg("-k").arg(path),
                    Endpoint::Tcp(port) => command
                        .args(["-b", "127.0.0.1", "-p"])
                        .arg(port.to_string()),
                };
                command.arg(path);
                command
            }
            Self::Floor => {
                // Not by /proc/self/exe: in a pinned row that is taskset.
                let own = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
                let mut command = Command::new(own);
                command.arg("--floor");
                match endpoint {
                    Endpoint::Unix(path) => command.arg(path),
                    Endpoint::Tcp(port) => command.arg(port.to_string()),
                };
                command
            }
        }
    }
}

/// A running server. Dropping it kills the server.
pub(crate) struct Server {
    child: Child,
    pub(crate) label: String,
    pub(crate) endpoint: Endpoint,
}

impl Server {
    /// Starts a server, and waits until it has answered a handshake.
    pub(crate) fn start(
        scene: &Scene,
        kind: &Kind,
        tcp: bool,
        cores: Option<Cores>,
    ) -> anyhow::Result<Self> {
        let server = Self::spawn(scene, kind, tcp, cores)?;
        server.wait()?;
        Ok(server)
    }

    /// nbdbox with exports `e0`, `e1` and so on of one tenant, all of the plugin `pattern`.
    pub(crate) fn with_exports(scene: &Scene, exports: u32) -> anyhow::Result<Self> {
        let socket = std::path::absolute(scene.path("exports.sock"))?;
        let plugin = std::path::absolute("target/plugins/pattern.wasm")?;
        let uid = rustix::process::getuid().as_raw();
        let mut config = format!(
            "[[listener]]\nunix = {:?}\n\n[tenant.bench]\nclients = [{{ uid = {uid} }}]\n",
            socket.display().to_string()
        );
        for number in 0..exports {
            config.push_str(&format!(
                "\n[[tenant.bench.export]]\nname = \"e{number}\"\nplugin = {:?}\n\
                 settings = {{ size = \"1G\" }}\n",
                plugin.display().to_string()
            ));
        }
        let path = scene.path("exports.toml");
        std::fs::write(&path, config)?;
        let child = Command::new(&scene.nbdbox)
            .args(["serve", "--config"])
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(scene.path("server.log"))?)
            .spawn()?;
        let server = Self {
            child,
            label: "nbdbox".to_owned(),
            endpoint: Endpoint::Unix(socket),
        };
        server.wait_for("e0")?;
        Ok(server)
    }

    /// Starts a server, on its core if there are `cores`.
    pub(crate) fn spawn(
        scene: &Scene,
        kind: &Kind,
        tcp: bool,
        cores: Option<Cores>,
    ) -> anyhow::Result<Self> {
        let endpoint = if tcp {
            // The port is free now. If another process takes it, the start fails and no figure is wrong.
            Endpoint::Tcp(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
        } else {
            let number = SOCKETS.fetch_add(1, Ordering::Relaxed);
            Endpoint::Unix(std::path::absolute(scene.path(&format!("{number}.sock")))?)
        };
        let log = File::create(scene.path("server.log"))?;
        let mut command = kind.command(scene, &endpoint);
        if let Some(cores) = cores {
            command = cores.pinned(&command);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("can't start {}", kind.label()))?;
        Ok(Self {
            child,
            label: kind.label(),
            endpoint,
        })
    }

    /// Waits for the server's first answer.
    pub(crate) fn wait(&self) -> anyhow::Result<Connected> {
        self.wait_for("")
    }

    fn wait_for(&self, export: &str) -> anyhow::Result<Connected> {
        let start = Instant::now();
        loop {
            match self.endpoint.connect_to(export) {
                Ok(client) => return Ok(client),
                Err(error) if start.elapsed() > PATIENCE => {
                    bail!("{} doesn't serve: {error:#}", self.label)
                }
                Err(_) => sleep(Duration::from_micros(200)),
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The URI of its default export.
    pub(crate) fn uri(&self) -> String {
        match &self.endpoint {
            Endpoint::Unix(path) => format!("nbd+unix:///?socket={}", path.display()),
            Endpoint::Tcp(port) => format!("nbd://127.0.0.1:{port}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Endpoint::Unix(path) = &self.endpoint {
            let _ = std::fs::remove_file(path);
        }
    }
}
