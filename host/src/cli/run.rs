//! `--run`: one command, for as long as which the server lives.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context as _;
use nbd_server::Address;
use tokio::process::Command;

/// Runs a shell command with the variables that nbdkit's `--run` has: `$uri`, `$unixsocket`,
/// `$port`, `$exportname`, and `$nbd`, as qemu wrote it once.
pub(super) async fn shell(
    command: &str,
    uri: &str,
    address: &Address,
    export: &str,
) -> anyhow::Result<ExitCode> {
    let (socket, port, nbd) = match address {
        Address::Unix(path) => {
            let path = path.display().to_string();
            let nbd = format!("nbd:unix:{path}");
            (path, String::new(), nbd)
        }
        // The command line has no way to ask for it.
        Address::Vsock { .. } => Default::default(),
        Address::Tcp(host, port) => (
            String::new(),
            port.to_string(),
            format!("nbd:{host}:{port}"),
        ),
    };
    let status = Command::new("/bin/sh")
        .args(["-c", command])
        .env("uri", uri)
        .env("unixsocket", socket)
        .env("port", port)
        .env("exportname", export)
        .env("nbd", nbd)
        .kill_on_drop(true)
        .status()
        .await
        .context("can't run the --run command")?;
    Ok(exit_code(status))
}

/// The command's own status; 128 and the signal's number if one ended it, as shells say it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
