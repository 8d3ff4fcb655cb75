//! The filter's settings.

use nbdbox_plugin::{Error, Manifest, Result, ValueKind, config, next};

/// When changes go to the layer below.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At a flush.
    Writeback,
    /// At once.
    Writethrough,
    /// When the cache is full.
    Unsafe,
}

pub(crate) struct Settings {
    pub(crate) mode: Mode,
    /// Size of a block, in bytes.
    pub(crate) block: u64,
    /// The filter starts to evict blocks at this many bytes…
    pub(crate) high: u64,
    /// …and stops at this many.
    pub(crate) low: u64,
    pub(crate) on_read: bool,
}

/// Declares the settings in a manifest.
pub(crate) fn declare(manifest: Manifest) -> Manifest {
    manifest
        .default(
            "cache",
            ValueKind::Text,
            "writeback",
            "when changes go to the layer below: writeback (at a flush), writethrough (at once), unsafe (when the cache is full)",
        )
        .default(
            "cache-min-block-size",
            ValueKind::Size,
            "64K",
            "size of a block, a power of two from 4K to 1M",
        )
        .default(
            "cache-max-size",
            ValueKind::Size,
            "32M",
            "size of the cache; the limit memory must leave room for it",
        )
        .default(
            "cache-high-threshold",
            ValueKind::Number,
            "95",
            "percentage of cache-max-size at which the filter starts to evict blocks",
        )
        .default(
            "cache-low-threshold",
            ValueKind::Number,
            "80",
            "percentage of cache-max-size at which it stops",
        )
        .default(
            "cache-on-read",
            ValueKind::Boolean,
            "false",
            "also keep the blocks that clients read",
        )
}

impl Settings {
    pub(crate) fn read(below: &next::LayerInfo) -> Result<Self> {
        let mode = match config::required_text("cache")?.as_str() {
            "writeback" => Mode::Writeback,
            "writethrough" => Mode::Writethrough,
            "unsafe" => Mode::Unsafe,
            other => {
                return Err(Error::invalid(format!(
                    "cache={other}: give writeback, writethrough or unsafe"
                )));
            }
        };
        let block = config::required_size("cache-min-block-size")?;
        let most = (1 << 20).min(below.maximum.into());
        let least = 4096.max(below.minimum.into());
        if !block.is_power_of_two() || block < least || block > most {
            return Err(Error::invalid(format!(
                "cache-min-block-size= isn't a power of two from {least} to {most}"
            )));
        }
        let size = config::required_size("cache-max-size")?;
        let high = config::number("cache-high-threshold")?.unwrap_or(95);
        let low = config::number("cache-low-threshold")?.unwrap_or(80);
        if low == 0 || low >= high || high > 100 {
            return Err(Error::invalid(
                "thresholds: 0 < cache-low-threshold < cache-high-threshold <= 100 is required",
            ));
        }
        if size < 2 * block {
            return Err(Error::invalid(
                "cache-max-size= is less than two blocks of cache-min-block-size=",
            ));
        }
        let part = |percent: u64| size / 100 * percent + size % 100 * percent / 100;
        let on_read = config::text("cache-on-read").unwrap_or_default();
        let on_read = ["true", "yes", "on", "1"].contains(&on_read.to_lowercase().as_str());
        Ok(Self {
            mode,
            block,
            high: part(high).max(block),
            low: part(low),
            on_read,
        })
    }
}
