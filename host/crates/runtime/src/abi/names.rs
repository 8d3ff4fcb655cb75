//! The names of an export in the log, and the macro that writes a line about it.

/// The names that identify an export in the log: of its tenant, of itself, and of its plugin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Empty if the server has no tenants.
    pub(crate) tenant: String,
    pub(crate) export: String,
    pub(crate) plugin: String,
}

impl Names {
    /// The tenant's name; `None` if the server has no tenants.
    pub(crate) fn tenant(&self) -> Option<&str> {
        Some(&self.tenant[..]).filter(|tenant| !tenant.is_empty())
    }
}

/// Writes a log line about an export. It adds the export's names and the current request:
/// `log_export!(warn, names, field = value, "text")`. With `warn @ "plugin"` the line's target is `plugin`.
macro_rules! log_export {
    ($level:ident @ $target:expr, $names:expr, $($line:tt)+) => {{
        let names: &$crate::abi::names::Names = $names;
        tracing::$level!(
            target: $target,
            tenant = names.tenant(),
            export = names.export,
            plugin = names.plugin,
            request = device::origin::Origin::field(),
            $($line)+
        )
    }};
    ($level:ident, $names:expr, $($line:tt)+) => {
        log_export!($level @ "nbdbox::plugin", $names, $($line)+)
    };
}

pub(crate) use log_export;
