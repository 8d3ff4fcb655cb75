//! `fua`: changes how a client's FUA, which makes a change durable before the reply, is advertised and handled.

use device::WriteFlags;
use nbd_proto::{Export, ExportFlags};

use crate::call::{Call, Kind};
use crate::hook::Hook;
use crate::plan::{Plan, Then};
use crate::settings::Reader;

#[derive(Debug)]
pub(crate) struct Fua(Mode);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    None,
    Emulate,
    Native,
    Force,
    Pass,
    Discard,
}

impl Fua {
    pub(crate) fn new(settings: &Reader<'_>) -> Self {
        let modes = [
            ("none", Mode::None),
            ("emulate", Mode::Emulate),
            ("native", Mode::Native),
            ("force", Mode::Force),
            ("pass", Mode::Pass),
            ("discard", Mode::Discard),
        ];
        Self(settings.choice("fuamode", &modes, Mode::None))
    }
}

impl Hook for Fua {
    fn promise(&self, export: &mut Export) -> Result<(), String> {
        let flags = &mut export.flags;
        if flags.contains(ExportFlags::READ_ONLY) {
            return Ok(());
        }
        match self.0 {
            Mode::None => flags.remove(ExportFlags::SEND_FUA),
            Mode::Emulate if !flags.contains(ExportFlags::SEND_FLUSH) => {
                return Err("fuamode=emulate: the layer below can't flush".to_owned());
            }
            Mode::Native | Mode::Force if !flags.contains(ExportFlags::SEND_FUA) => {
                return Err("fuamode=: the layer below doesn't support FUA".to_owned());
            }
            Mode::Discard => flags.insert(ExportFlags::SEND_FUA | ExportFlags::SEND_FLUSH),
            Mode::Emulate => flags.insert(ExportFlags::SEND_FUA),
            Mode::Native | Mode::Force | Mode::Pass => {}
        }
        Ok(())
    }

    fn plan(&self, call: &Call) -> Plan {
        let flags = call.flags();
        let changes = matches!(call.kind(), Kind::Write | Kind::Trim | Kind::Zero);
        match self.0 {
            Mode::Force | Mode::Discard if call.kind() == Kind::Flush => {
                Plan::then(Then::Ignore, flags)
            }
            Mode::Force if changes => Plan::pass(flags | WriteFlags::FUA),
            Mode::Discard => Plan::pass(flags - WriteFlags::FUA),
            Mode::Emulate if flags.contains(WriteFlags::FUA) => {
                Plan::then(Then::PassAndFlush, flags - WriteFlags::FUA)
            }
            _ => Plan::pass(flags),
        }
    }
}
