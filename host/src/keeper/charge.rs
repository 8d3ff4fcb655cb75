//! What a command passes to its keeper.

use std::ffi::OsString;
use std::path::PathBuf;

use nbdbox_config::config::Part;
use outside::Rights;

use super::stock::Supplies;
use crate::service::{Changes, Supervisor};

/// The servers that a keeper runs, and what it does for them.
pub(crate) struct Charge {
    /// The command line of the servers, without the program's name.
    pub(crate) arguments: Vec<OsString>,
    /// Whether a server fails at its start if the kernel lacks a wall.
    pub(crate) all_walls: bool,
    /// The file that has the keeper's process id while the servers admit clients.
    pub(crate) pidfile: Option<PathBuf>,
    /// The process that gets the stage of the servers.
    pub(crate) supervisor: Supervisor,
    /// Whether the keeper starts another process for a server that died.
    pub(crate) restart: bool,
    /// What each server serves at the start.
    pub(crate) parts: Vec<Serving>,
    /// What the keeper gives to the servers.
    pub(crate) supplies: Supplies,
}

/// What one server serves.
pub(crate) struct Serving {
    /// The server's part of the configuration.
    pub(crate) part: Part,
    /// The requests that the keeper grants to the server.
    pub(crate) rights: Rights,
    /// The environment variables that the server doesn't get, because they have secrets of other servers' tenants.
    pub(crate) hidden: Vec<String>,
}

impl Serving {
    /// One server that serves everything.
    pub(crate) fn all(rights: Rights) -> Vec<Self> {
        vec![Self {
            part: Part::Whole,
            rights,
            hidden: Vec::new(),
        }]
    }
}

/// A reload.
pub(crate) struct Occasion {
    /// The reason, for the log.
    pub(crate) reason: String,
    /// What each server serves from now on. An error leaves everything as it is, and goes to the log.
    pub(crate) parts: anyhow::Result<Vec<Serving>>,
}

/// A source of reloads.
pub(crate) trait Occasions {
    /// Waits for the next reload. Dropping the future loses none.
    async fn next(&mut self) -> Occasion;
}

/// For a server that reloads something other than a configuration, such as a folder's files. Its rights stay the same.
pub(crate) struct SameRights(pub(crate) Changes, pub(crate) Rights);

impl Occasions for SameRights {
    async fn next(&mut self) -> Occasion {
        Occasion {
            reason: self.0.reason().await.into_owned(),
            parts: Ok(Serving::all(self.1.clone())),
        }
    }
}

/// For a server that never reloads.
pub(crate) struct Unchanging;

impl Occasions for Unchanging {
    async fn next(&mut self) -> Occasion {
        std::future::pending().await
    }
}
