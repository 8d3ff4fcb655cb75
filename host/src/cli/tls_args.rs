//! TLS on the command line, under the names that nbdkit's users know.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use nbdbox_config::config::{Tls, TlsFiles};
use outside::EntryKind;

/// The options of `serve` about TLS.
#[derive(Debug, Args)]
pub(super) struct TlsArgs {
    /// TLS: `off`; `on` serves clients with and without TLS; `require` only those with TLS [default: off]
    #[arg(long, value_enum, hide_possible_values = true, value_name = "MODE")]
    tls: Option<Mode>,

    /// The folder with `server-cert.pem`, `server-key.pem` and, to verify clients, `ca-cert.pem`
    #[arg(long, value_name = "DIR", requires = "tls")]
    tls_certificates: Option<PathBuf>,

    /// Admit only clients with a certificate that `ca-cert.pem` signed
    #[arg(long, requires = "tls_certificates")]
    tls_verify_peer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Off,
    On,
    Require,
}

impl TlsArgs {
    /// The TLS settings that these options make.
    pub(super) fn tls(&self) -> anyhow::Result<Tls> {
        let mode = match self.tls {
            None | Some(Mode::Off) => return Ok(Tls::Off),
            Some(mode) => mode,
        };
        let folder = self.tls_certificates.as_deref();
        let folder = folder.context("TLS needs a certificate and its key: --tls-certificates")?;
        let seen = outside::files::look(folder);
        ensure!(
            seen.is_ok_and(|seen| seen.kind == EntryKind::Folder),
            "--tls-certificates: {} isn't a folder",
            folder.display()
        );
        let files = TlsFiles {
            certificate: folder.join("server-cert.pem"),
            key: folder.join("server-key.pem"),
            client_ca: self.tls_verify_peer.then(|| folder.join("ca-cert.pem")),
        };
        Ok(match mode {
            Mode::Require => Tls::Require(files),
            _ => Tls::On(files),
        })
    }

    /// The folder of the certificates.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.tls_certificates.as_deref()
    }

    /// The value of `$tls` in nbdkit's `--run`: none, 1 or 2.
    pub(super) fn level(&self) -> Option<u8> {
        match self.tls {
            None | Some(Mode::Off) => None,
            Some(Mode::On) => Some(1),
            Some(Mode::Require) => Some(2),
        }
    }

    /// The certificates' folder for clients on this machine, if they have to use TLS.
    pub(super) fn required(&self) -> Option<&Path> {
        let required = self.tls == Some(Mode::Require);
        self.tls_certificates.as_deref().filter(|_| required)
    }
}
