//! `nocache`: reading ahead isn't advertised, is done by reading, or does nothing.

use nbd_proto::{Export, ExportFlags};

use crate::call::Call;
use crate::hook::Hook;
use crate::plan::{Plan, Then};
use crate::settings::Reader;

#[derive(Debug)]
pub(crate) struct NoCache(Mode);

#[derive(Clone, Copy, Debug)]
enum Mode {
    None,
    Emulate,
    Nop,
}

impl NoCache {
    pub(crate) fn new(settings: &Reader<'_>) -> Self {
        let modes = [
            ("none", Mode::None),
            ("emulate", Mode::Emulate),
            ("nop", Mode::Nop),
        ];
        Self(settings.choice("cachemode", &modes, Mode::None))
    }
}

impl Hook for NoCache {
    fn promise(&self, export: &mut Export) -> Result<(), String> {
        let offered = !matches!(self.0, Mode::None);
        export.flags.set(ExportFlags::SEND_CACHE, offered);
        Ok(())
    }

    fn plan(&self, call: &Call) -> Plan {
        match (call, self.0) {
            (Call::Cache { .. }, Mode::Emulate) => Plan::then(Then::ReadAway, call.flags()),
            (Call::Cache { .. }, Mode::Nop) => Plan::then(Then::Ignore, call.flags()),
            _ => Plan::pass(call.flags()),
        }
    }
}
