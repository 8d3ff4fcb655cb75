//! By which names the log calls an export, and how a line about it is written.

/// Whose export it is, which, and of which plugin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Empty where there are no tenants.
    pub(crate) tenant: String,
    pub(crate) export: String,
    pub(crate) plugin: String,
}

impl Names {
    /// The tenant, if there are any.
    pub(crate) fn tenant(&self) -> Option<&str> {
        Some(&self.tenant[..]).filter(|tenant| !tenant.is_empty())
    }
}

/// Writes a line about an export, with its names and with the request that is being served:
/// `log_export!(warn, names, field = value, "text")`. With `warn @ "plugin"` its target is that.
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
