//! Filters of the host's own, as they're named and set.

use std::sync::Arc;

use anyhow::anyhow;
use native_filters::{Exit, Native};
use nbdbox_config::native::NativeName;
use nbdbox_config::settings::Settings;
use runtime::FilterKind;

/// Reads the settings of such a filter. `exit` is how one may end the server, where one may.
///
/// # Errors
/// All that is wrong with them, one thing a line.
pub(crate) fn native(
    name: NativeName,
    settings: &Settings,
    exit: Option<&Arc<Exit>>,
) -> anyhow::Result<FilterKind> {
    let native = Native::new(name, settings, exit).map_err(|error| {
        let name = name.as_str();
        let lines = error.to_string();
        let lines: Vec<String> = lines
            .lines()
            .map(|line| format!("the filter {name}: {line}"))
            .collect();
        anyhow!("{}", lines.join("\n"))
    })?;
    Ok(FilterKind::Native(Arc::new(native)))
}
