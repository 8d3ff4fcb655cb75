//! Filters that are built into the host: their settings.

use std::sync::Arc;

use anyhow::anyhow;
use native_filters::{Exit, Native};
use nbdbox_config::native::NativeName;
use nbdbox_config::settings::Settings;
use runtime::FilterKind;

/// Reads the settings of a built-in filter. `exit` is how it may end the server; `None` if it may not.
///
/// # Errors
/// All errors in the settings, one a line.
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
