//! What makes a filter this filter.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use device::fault::Failure;
use extent_map::ExtentMap;
use lanes::Work;
use nbd_proto::Export;

use crate::call::Call;
use crate::exit::Exit;
use crate::plan::Plan;

/// A filter: what it shows of the layer below, and what it does to a call. All of it without I/O, at once, and for
/// many calls at the same time.
pub(crate) trait Hook: Debug + Send + Sync {
    /// Opens what the filter works with, and keeps the way to threads of its tenant's. The one step that may block: it's
    /// called on such a thread, whenever an export is opened.
    ///
    /// # Errors
    /// It can't be opened.
    fn open(&self, _work: &Work) -> Result<(), String> {
        Ok(())
    }

    /// Makes what clients get to see out of what the layer below promises.
    ///
    /// # Errors
    /// The layer below can't do what the settings ask for.
    fn promise(&self, _export: &mut Export) -> Result<(), String> {
        Ok(())
    }

    /// What becomes of a call.
    fn plan(&self, call: &Call) -> Plan {
        Plan::pass(call.flags())
    }

    /// A call with this ticket has been answered: with extents, if it asked for them, or with a failure.
    fn answered(
        &self,
        _ticket: u64,
        _call: &Call,
        _extents: Option<&ExtentMap>,
        _failure: Option<&Failure>,
    ) {
    }

    /// Whether it tells holes from data where the layer below does. Where it doesn't, everything is data.
    fn tells_extents(&self) -> bool {
        true
    }

    /// Whether a failure to tell extents reaches clients. Else they get data.
    fn tells_failed_extents(&self) -> bool {
        false
    }

    /// How long a client waits before it's let in.
    fn open_wait(&self) -> Duration {
        Duration::ZERO
    }

    /// How long its connection takes to end.
    fn close_wait(&self) -> Duration {
        Duration::ZERO
    }

    /// What it ends the server by: who comes is let in there first.
    fn exit(&self) -> Option<&Arc<Exit>> {
        None
    }

    /// A client comes. What is returned is dropped when it has left.
    ///
    /// # Errors
    /// It isn't let in.
    fn connect(&self, _export: &Export) -> Result<Option<Box<dyn Send + Sync>>, Failure> {
        Ok(None)
    }
}
