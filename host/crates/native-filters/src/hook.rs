//! The decisions of a filter.

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

/// A filter: what it advertises of the layer below, and what happens to a call. All methods except `open` return at
/// once, without I/O. Calls may overlap.
pub(crate) trait Hook: Debug + Send + Sync {
    /// Opens the filter's files, and keeps access to the tenant's threads. May block: it's called on such a thread,
    /// whenever an export is opened.
    ///
    /// # Errors
    /// A file can't be opened.
    fn open(&self, _work: &Work) -> Result<(), String> {
        Ok(())
    }

    /// Turns what the layer below advertises into what the filter does.
    ///
    /// # Errors
    /// The layer below can't do what the settings require.
    fn promise(&self, _export: &mut Export) -> Result<(), String> {
        Ok(())
    }

    /// Decides what happens to a call.
    fn plan(&self, call: &Call) -> Plan {
        Plan::pass(call.flags())
    }

    /// The call with this ticket has completed, possibly with extents or a failure.
    fn answered(
        &self,
        _ticket: u64,
        _call: &Call,
        _extents: Option<&ExtentMap>,
        _failure: Option<&Failure>,
    ) {
    }

    /// Whether the filter distinguishes holes from data where the layer below does. If not, everything is data.
    fn tells_extents(&self) -> bool {
        true
    }

    /// Whether clients get the error if the layer below fails to describe extents. If not, they get data.
    fn tells_failed_extents(&self) -> bool {
        false
    }

    /// How long a client waits before it's admitted.
    fn open_wait(&self) -> Duration {
        Duration::ZERO
    }

    /// How long the end of a client's connection takes.
    fn close_wait(&self) -> Duration {
        Duration::ZERO
    }

    /// The server's exit, if the filter may end the server. It must admit each client first.
    fn exit(&self) -> Option<&Arc<Exit>> {
        None
    }

    /// A client connects. The connection drops the result when it has ended.
    ///
    /// # Errors
    /// The client isn't admitted.
    fn connect(&self, _export: &Export) -> Result<Option<Box<dyn Send + Sync>>, Failure> {
        Ok(None)
    }
}
