//! What a command hands to its keeper.

use std::ffi::OsString;
use std::path::PathBuf;

use outside::Rights;

use super::desk::Supplies;
use crate::service::{Changes, Supervisor};

/// A server to be kept.
pub(crate) struct Charge {
    /// Its command line, without the program's name.
    pub(crate) arguments: Vec<OsString>,
    /// Whether it's refused to serve if the kernel lacks a wall.
    pub(crate) all_walls: bool,
    /// The file that has the keeper's process id while clients can come in.
    pub(crate) pidfile: Option<PathBuf>,
    /// Who is told how far the server is.
    pub(crate) supervisor: Supervisor,
    /// Whether a server that died is started again.
    pub(crate) restart: bool,
    /// What it may ask for.
    pub(crate) supplies: Supplies,
}

/// A reason to let the server look again at what it serves.
pub(crate) struct Occasion {
    pub(crate) reason: String,
    /// What it may ask for.
    pub(crate) rights: Granted,
}

/// What a server may ask for after an occasion.
pub(crate) enum Granted {
    /// This, and nothing that was granted before.
    Anew(Rights),
    /// This, in addition to what was granted before: the operator's words are of no use, which the server finds too, and
    /// says.
    More(Rights),
}

/// What tells of occasions.
pub(crate) trait Occasions {
    /// Waits for the next one. Dropping it loses none.
    async fn next(&mut self) -> Occasion;
}

/// For a server that looks at other things again than the operator's words.
pub(crate) struct SameRights(pub(crate) Changes, pub(crate) Rights);

impl Occasions for SameRights {
    async fn next(&mut self) -> Occasion {
        Occasion {
            reason: self.0.reason().await.into_owned(),
            rights: Granted::Anew(self.1.clone()),
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
