//! `serve` as the keeper: the rights of the server's process, and the work in addition to serving.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use nbd_server::{Inherited, socket_of};
use nbdbox_config::config::{self, Config, LogFormat};
use outside::{Right, Rights, Socket};
use runtime::cache::Cache;

use super::{FOLDER_CHANGED, Serve};
use crate::cli::purpose::Purpose;
use crate::cli::run::{Captive, Variables};
use crate::cli::sandbox_args::{self, Side};
use crate::keeper::{self, Charge, Opened, SameRights, Serving, Supplies};
use crate::service::{self, Changes, FileWatcher, Signals, Supervisor, Wanted};

impl Serve {
    /// Runs as the keeper of the command line's server. Returns the exit status.
    ///
    /// # Errors
    /// As for [`keeper::keep`]; or the command line names something that doesn't exist.
    pub(super) async fn keep(self: Box<Self>, all_walls: bool) -> anyhow::Result<ExitCode> {
        let signals = Signals::catch()?;
        let input = self.input()?;
        let rights = self.rights()?;
        let changes = Changes::of_files(
            || FileWatcher::start_names(self.several.folders()),
            FOLDER_CHANGED,
        )?;
        // A folder's rights hold for all of its files, so they stay the same when files come and go.
        let folders = SameRights(changes, rights.clone());
        let serve = Arc::new(self);
        let opening = Arc::clone(&serve);
        let charge = Charge {
            arguments: sandbox_args::arguments(),
            all_walls,
            pidfile: serve.pidfile.clone(),
            supervisor: Supervisor::None,
            restart: !serve.single,
            parts: Serving::all(rights),
            supplies: Supplies {
                cache: Cache::default_folder(),
                inherited: Inherited::from_environment()?,
                sockets: Box::new(move |inherited| opening.sockets(inherited)),
                input,
            },
        };
        let until = |opened: &Opened| {
            let name = serve.announced_name()?;
            let variables = match opened.address(&Socket::CommandLine(0)) {
                Some(address) => serve.announce(&address, &name)?,
                // There's one client, on standard input.
                None => Variables::default(),
            };
            Ok(serve.kept_purpose(&variables))
        };
        keeper::keep(signals, charge, folders, until).await
    }

    /// Runs as the keeper of a configuration's server; `None` if the configuration turns the sandbox off.
    pub(super) async fn keep_configuration(
        &self,
        path: &Path,
        start_log: impl FnOnce(LogFormat) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<ExitCode>> {
        let input = self.input()?;
        let (entrance, private) = self.entrance()?;
        let wanted = Wanted {
            pidfile: self.pidfile.clone(),
            entrance,
        };
        let kept = service::Kept {
            arguments: sandbox_args::arguments(),
            input,
            private,
        };
        let all_walls = |configured| match self.sandbox.side_of(configured)? {
            Side::Keeper { all_walls } => Ok(Some(all_walls)),
            Side::Worker => Ok(None),
        };
        let until = |opened: &Opened, first: &config::Listener| {
            let socket = match opened.address(&Socket::CommandLine(0)) {
                Some(address) => Some(address),
                None => opened.address(&socket_of(&first.address)),
            };
            let variables = match socket {
                Some(address) => {
                    self.announce_configured(&service::absolute(address)?, &first.tls)?
                }
                None => Variables::default(),
            };
            Ok(self.kept_purpose(&variables))
        };
        service::keep_configuration(path, wanted, kept, all_walls, start_log, until).await
    }

    /// The purpose that ends the keeper. `--single` needs no case: the server ends with its client, and the keeper with
    /// the server.
    fn kept_purpose(&self, variables: &Variables) -> Purpose {
        match &self.run {
            Some(script) => Purpose::Command(Box::new(Captive::new(script, variables))),
            None => Purpose::Signals,
        }
    }

    /// The export's name in the URI that `--print-uri` and `--run` announce.
    fn announced_name(&self) -> anyhow::Result<String> {
        if self.several.is_empty() || self.plugin.is_named() || !self.listen.export.is_empty() {
            return Ok(self.listen.export.clone());
        }
        Ok(self
            .several_config()?
            .first_export()
            .unwrap_or_default()
            .to_owned())
    }

    /// The configuration that `--export-folder`, `--add-export` and the plugin of the command line amount to.
    pub(super) fn several_config(&self) -> anyhow::Result<Config> {
        let own = self.plugin.own(&self.listen.export)?;
        let common = self.plugin.common(self.read_only)?;
        self.several.config(own, &common)
    }

    /// The rights of the command line's server.
    fn rights(&self) -> anyhow::Result<Rights> {
        let mut rights = Rights::default();
        self.plugin.rights(self.read_only, &mut rights)?;
        keeper::tls(&mut rights, &self.tls.tls()?);
        if let Some(folder) = self.tls.folder() {
            rights.allow(folder, Right::Look);
        }
        if let Some(admin) = &self.admin {
            rights.allow_socket(Socket::Admin(Box::new(socket_of(admin))));
        }
        if !self.several.is_empty() {
            keeper::of_exports(&mut rights, &self.several_config()?);
            self.several.rights(self.read_only, &mut rights);
        }
        Ok(rights)
    }

    /// A copy of standard input for the client of `--single`; `None` without that option.
    fn input(&self) -> anyhow::Result<Option<OwnedFd>> {
        let input = self
            .single
            .then(|| std::io::stdin().as_fd().try_clone_to_owned());
        input.transpose().context("can't use standard input")
    }
}
