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

/// A reason to let the server look again at what it serves, and what it may ask for then.
pub(crate) trait Occasion {
    /// Waits until there is a reason, and says which. Dropping it loses none.
    async fn reason(&mut self) -> String;

    /// Reads the operator's words again. Blocks.
    ///
    /// # Errors
    /// They're of no use; the server finds that too, and says so.
    fn rights(&mut self) -> anyhow::Result<Rights>;
}

/// For a server that looks at other things again than the operator's words.
pub(crate) struct SameRights(pub(crate) Changes, pub(crate) Rights);

impl Occasion for SameRights {
    async fn reason(&mut self) -> String {
        self.0.reason().await.into_owned()
    }

    fn rights(&mut self) -> anyhow::Result<Rights> {
        Ok(self.1.clone())
    }
}

/// For a server that stays as it began.
pub(crate) struct Unchanging;

impl Occasion for Unchanging {
    async fn reason(&mut self) -> String {
        std::future::pending().await
    }

    fn rights(&mut self) -> anyhow::Result<Rights> {
        Ok(Rights::default())
    }
}
