//! What a command hands to its keeper.

use std::ffi::OsString;
use std::path::PathBuf;

use nbdbox_config::config::Part;
use outside::Rights;

use super::stock::Supplies;
use crate::service::{Changes, Supervisor};

/// Servers to be kept.
pub(crate) struct Charge {
    /// Their command line, without the program's name.
    pub(crate) arguments: Vec<OsString>,
    /// Whether they refuse to serve if the kernel lacks a wall.
    pub(crate) all_walls: bool,
    /// The file that has the keeper's process id while clients can come in.
    pub(crate) pidfile: Option<PathBuf>,
    /// The process that hears how far the servers are.
    pub(crate) supervisor: Supervisor,
    /// Whether a server that died is started again.
    pub(crate) restart: bool,
    /// What each server serves at first.
    pub(crate) parts: Vec<Serving>,
    /// What they can be given.
    pub(crate) supplies: Supplies,
}

/// What one server serves.
pub(crate) struct Serving {
    pub(crate) part: Part,
    pub(crate) rights: Rights,
    /// Environment variables that have secrets of other servers' tenants.
    pub(crate) hidden: Vec<String>,
}

impl Serving {
    /// Everything, by one server.
    pub(crate) fn all(rights: Rights) -> Vec<Self> {
        vec![Self {
            part: Part::Whole,
            rights,
            hidden: Vec::new(),
        }]
    }
}

/// A reason for the servers to look again at what they serve.
pub(crate) struct Occasion {
    pub(crate) reason: String,
    /// What each server serves from now on; why nothing can change, in words for the log.
    pub(crate) parts: anyhow::Result<Vec<Serving>>,
}

/// A source of occasions.
pub(crate) trait Occasions {
    /// Waits for the next one. Dropping it loses none.
    async fn next(&mut self) -> Occasion;
}

/// For a server that looks again at other things than the configuration.
pub(crate) struct SameRights(pub(crate) Changes, pub(crate) Rights);

impl Occasions for SameRights {
    async fn next(&mut self) -> Occasion {
        Occasion {
            reason: self.0.reason().await.into_owned(),
            parts: Ok(Serving::all(self.1.clone())),
        }
    }
}

/// For a server that stays as it began.
pub(crate) struct Unchanging;

impl Occasions for Unchanging {
    async fn next(&mut self) -> Occasion {
        std::future::pending().await
    }
}
