//! `noextents`: everything is data, and the layer below isn't called for extents.

use crate::call::Call;
use crate::hook::Hook;
use crate::plan::{Plan, Then};

#[derive(Debug)]
pub(crate) struct NoExtents;

impl Hook for NoExtents {
    fn tells_extents(&self) -> bool {
        false
    }

    fn plan(&self, call: &Call) -> Plan {
        match call {
            Call::Extents { .. } => Plan::then(Then::Ignore, call.flags()),
            _ => Plan::pass(call.flags()),
        }
    }
}
