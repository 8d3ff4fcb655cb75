//! `nozero`: zeroing isn't advertised, is done by writing, or with other flags than the client's.

use device::WriteFlags;
use device::fault::Failure;
use nbd_proto::{Errno, Export, ExportFlags};

use crate::call::Call;
use crate::hook::Hook;
use crate::plan::{Plan, Then};
use crate::settings::Reader;

#[derive(Debug)]
pub(crate) struct NoZero {
    zero: Zero,
    fast: Fast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zero {
    None,
    Emulate,
    NoTrim,
    Plugin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fast {
    None,
    Slow,
    Ignore,
    Default,
}

impl NoZero {
    pub(crate) fn new(settings: &Reader<'_>) -> Self {
        let zero = [
            ("none", Zero::None),
            ("emulate", Zero::Emulate),
            ("notrim", Zero::NoTrim),
            ("plugin", Zero::Plugin),
        ];
        let fast = [
            ("none", Fast::None),
            ("slow", Fast::Slow),
            ("ignore", Fast::Ignore),
            ("default", Fast::Default),
        ];
        Self {
            zero: settings.choice("zeromode", &zero, Zero::None),
            fast: settings.choice("fastzeromode", &fast, Fast::Default),
        }
    }
}

impl Hook for NoZero {
    fn promise(&self, export: &mut Export) -> Result<(), String> {
        let below = export.flags;
        let writable = !below.contains(ExportFlags::READ_ONLY);
        let zero = match self.zero {
            Zero::None => false,
            Zero::Emulate => writable,
            Zero::NoTrim | Zero::Plugin => {
                if writable && !below.contains(ExportFlags::SEND_WRITE_ZEROES) {
                    return Err(
                        "zeromode=: the layer below can't zero by itself; set emulate or none"
                            .to_owned(),
                    );
                }
                writable
            }
        };
        let fast = match self.fast {
            Fast::None => false,
            Fast::Slow | Fast::Ignore => true,
            Fast::Default if self.zero == Zero::Emulate => true,
            Fast::Default => below.contains(ExportFlags::SEND_FAST_ZERO),
        };
        export.flags.set(ExportFlags::SEND_WRITE_ZEROES, zero);
        export.flags.set(ExportFlags::SEND_FAST_ZERO, zero && fast);
        Ok(())
    }

    fn plan(&self, call: &Call) -> Plan {
        let Call::Zero { mut flags, .. } = *call else {
            return Plan::pass(call.flags());
        };
        if flags.contains(WriteFlags::FAST_ZERO) {
            let slow = match self.fast {
                Fast::Slow => true,
                Fast::Default => self.zero == Zero::Emulate,
                Fast::None | Fast::Ignore => false,
            };
            if slow {
                let failure = Failure::answer(Errno::Enotsup, None);
                return Plan::then(Then::Refuse(failure), flags);
            }
            if self.fast == Fast::Ignore {
                flags.remove(WriteFlags::FAST_ZERO);
            }
        }
        match self.zero {
            Zero::Emulate => Plan::then(Then::WriteZeroes, flags),
            Zero::NoTrim => Plan::pass(flags | WriteFlags::NO_HOLE),
            Zero::None | Zero::Plugin => Plan::pass(flags),
        }
    }
}
