//! `nbdbox intrude`, a hidden command: it tries what an intruder behind the walls would try, for tests and for
//! operators who want to check a machine's walls.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::LazyLock;

use clap::Args;
use nix::sys::ptrace;
use outside::{Keeper, Request, Rights, Socket};
use runtime::cache::Cache;
use rustix::process::{Pid, Resource, Rlimit, Signal, getppid, kill_process, setrlimit};
use sandbox::Role;

use super::sandbox_args::{self, SandboxArgs, Side};

/// Tries to get out of the sandbox.
///
/// Prints a line for each attempt: its name, and the error that it met or `allowed`. The status is 1 if one succeeded.
#[derive(Debug, Args)]
pub(super) struct Intrude {
    /// Try from the compiler's process instead of the server's
    #[arg(long)]
    compiler: bool,

    /// Rounds of requests to the keeper, each for things that the operator didn't grant
    #[arg(long, default_value_t = 1000)]
    requests: u32,

    #[command(flatten)]
    sandbox: SandboxArgs,
}

/// The keeper. A compiler can't ask for its parent once it is behind its walls.
static PARENT: LazyLock<Option<Pid>> = LazyLock::new(getppid);

/// An attempt, and its name in SECURITY.md.
type Attempt = (&'static str, fn() -> io::Result<()>);

const ATTEMPTS: &[Attempt] = &[
    ("read a file", || File::open("/etc/passwd").map(drop)),
    ("read another process's memory", || {
        File::open(format!(
            "/proc/{}/mem",
            PARENT.map_or(1, |keeper| keeper.as_raw_nonzero().get())
        ))
        .map(drop)
    }),
    ("write a file", || {
        let mut options = OpenOptions::new();
        options
            .append(true)
            .create(true)
            .open("/tmp/nbdbox-intruder")
            .map(drop)
    }),
    ("list a folder", || fs::read_dir("/").map(drop)),
    ("look at a path", || fs::metadata("/etc").map(drop)),
    ("read a link", || fs::read_link("/proc/self/exe").map(drop)),
    ("remove a file", || fs::remove_file("/tmp/nbdbox-intruder")),
    ("rename a file", || {
        fs::rename("/tmp/nbdbox-a", "/tmp/nbdbox-b")
    }),
    ("make a folder", || fs::create_dir("/tmp/nbdbox-intruder")),
    ("link a file", || {
        fs::hard_link("/etc/passwd", "/tmp/nbdbox-intruder")
    }),
    ("change a mode", || {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions("/tmp", fs::Permissions::from_mode(0o1777))
    }),
    ("change the folder", || std::env::set_current_dir("/")),
    ("change the root", || Ok(rustix::process::chroot("/")?)),
    ("start a program", || {
        Command::new("/bin/true").status().map(drop)
    }),
    ("listen on TCP", || {
        TcpListener::bind("127.0.0.1:0").map(drop)
    }),
    ("connect over TCP", || {
        TcpStream::connect("127.0.0.1:9").map(drop)
    }),
    ("send over UDP", || UdpSocket::bind("127.0.0.1:0").map(drop)),
    ("connect to a unix socket", || {
        UnixStream::connect("/run/dbus/system_bus_socket").map(drop)
    }),
    ("listen on vsock", || {
        vsock::VsockListener::bind_with_cid_port(1, 9).map(drop)
    }),
    ("signal the keeper", || match *PARENT {
        Some(keeper) => Ok(kill_process(keeper, Signal::CONT)?),
        None => Err(io::ErrorKind::NotFound.into()),
    }),
    ("trace the keeper", || {
        let keeper = PARENT.map_or(1, |keeper| keeper.as_raw_nonzero().get());
        Ok(ptrace::attach(nix::unistd::Pid::from_raw(keeper))?)
    }),
    ("become another user", || {
        Ok(nix::unistd::setuid(nix::unistd::Uid::from_raw(1))?)
    }),
    ("raise a limit", || {
        let none = Rlimit {
            current: None,
            maximum: None,
        };
        Ok(setrlimit(Resource::Core, none)?)
    }),
    ("rename the machine", || {
        Ok(rustix::system::sethostname(b"intruder")?)
    }),
];

/// Requests to the keeper of a server that has no rights.
const REQUESTS: &[Attempt] = &[
    ("ask the keeper for a file", || {
        outside::files::read(Path::new("/etc/passwd")).map(drop)
    }),
    ("ask the keeper for a disk", || {
        outside::files::disk(Path::new("/dev/vda"), true).map(drop)
    }),
    ("ask the keeper to write a file", || {
        outside::files::append(Path::new("/tmp/nbdbox-intruder"), true).map(drop)
    }),
    ("ask the keeper for a folder's files", || {
        outside::files::list(Path::new("/"), 10).map(drop)
    }),
    ("ask the keeper what is at a path", || {
        outside::files::look(Path::new("/etc")).map(drop)
    }),
    ("ask the keeper to run a file", || {
        ask(&Request::Code {
            path: Path::new("/bin/true").into(),
            compatibility: 0,
        })
    }),
    ("ask the keeper for a socket", || {
        ask(&Request::Listen(Socket::Tcp(([127, 0, 0, 1], 0).into())))
    }),
    ("ask the keeper for its input", || ask(&Request::Input)),
    ("ask the keeper for another server", || {
        ask(&Request::Visit(0))
    }),
];

impl Intrude {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        if self.compiler {
            LazyLock::force(&PARENT);
            sandbox::enter(Role::Compiler)?;
            return Ok(print(ATTEMPTS.iter()));
        }
        match self.sandbox.side()? {
            Side::Keeper { all_walls } => {
                sandbox_args::keep(all_walls, Rights::default(), Cache::temporary())
            }
            Side::Worker if Keeper::get().is_some() => {
                let again = std::iter::repeat_n(REQUESTS, self.requests as usize).flatten();
                // Each round sends the same requests.
                let wrong = again.filter(|(_, attempt)| attempt().is_ok()).count();
                let status = print(ATTEMPTS.iter().chain(REQUESTS));
                Ok(if wrong == 0 {
                    status
                } else {
                    ExitCode::FAILURE
                })
            }
            Side::Worker => Ok(print(ATTEMPTS.iter())),
        }
    }
}

fn ask(request: &Request) -> io::Result<()> {
    match Keeper::get() {
        Some(keeper) => keeper.ask(request).map(drop),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Prints a line for each attempt.
fn print<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for (name, attempt) in attempts {
        let outcome = match attempt() {
            Ok(()) => {
                status = ExitCode::FAILURE;
                "allowed".to_owned()
            }
            Err(error) => match error.raw_os_error() {
                Some(number) => rustix::io::Errno::from_raw_os_error(number).to_string(),
                None => error.to_string(),
            },
        };
        // A closed pipe is no error: its reader needs no more lines.
        let _ = super::print(&format!("{name}: {outcome}\n"));
    }
    status
}
