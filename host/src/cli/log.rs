//! The options of the log: its lines, and their format.

use anyhow::anyhow;
use clap::ValueEnum;
use nbdbox_config::config::LogFormat;
use tracing_subscriber::EnvFilter;

use crate::log::{self, Form};

/// Warnings, and the plugins' own lines.
pub(super) const PLAIN: &str = "warn,plugin=info";

/// Warnings, changes of the configuration, and the plugins' own lines.
pub(super) const HOSTING: &str = "warn,nbdbox::service=info,plugin=info";

/// Warnings, and the plugin's own lines, its debug lines too.
pub(super) const AUTHOR: &str = "warn,plugin=debug";

/// Warnings, connections, denied requests, and the plugins' own lines, their debug lines too.
pub(super) const VERBOSE: &str = "warn,nbdbox=debug,plugin=debug";

/// The format of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// An object for each line
    Json,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// Starts the log with this filter, unless the operator set another one in `NBDBOX_LOG`.
pub(super) fn start(plain: &str, format: Format) -> anyhow::Result<()> {
    let wanted = std::env::var("NBDBOX_LOG").unwrap_or_default();
    let filter = match &wanted[..] {
        "" => EnvFilter::new(plain),
        wanted => EnvFilter::try_new(wanted).map_err(|error| {
            anyhow!(
                "NBDBOX_LOG=`{wanted}` isn't a filter such as `debug` or `plugin=info`: {error}"
            )
        })?,
    };
    log::start(
        filter,
        match format {
            Format::Text => Form::Text,
            Format::Json => Form::Json,
        },
    )
}
