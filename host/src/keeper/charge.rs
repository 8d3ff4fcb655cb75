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
    pub(crate) parts: Parts,
    /// What they can be given.
    pub(crate) supplies: Supplies,
}

/// The parts of a configuration, each with the rights of its server.
pub(crate) type Parts = Vec<(Part, Rights)>;

/// One server that serves everything.
pub(crate) fn one(rights: Rights) -> Parts {
    vec![(Part::Whole, rights)]
}

/// A reason for the servers to look again at what they serve.
pub(crate) struct Occasion {
    pub(crate) reason: String,
    /// The servers' rights.
    pub(crate) rights: Granted,
}

/// The rights after an occasion.
pub(crate) enum Granted {
    /// There are these servers, with these rights and none that were granted before.
    Anew(Parts),
    /// Each server has these rights in addition to its earlier ones: the configuration can't be used, and the servers are
    /// to find that out and log it.
    More(Rights),
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
            rights: Granted::Anew(one(self.1.clone())),
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
