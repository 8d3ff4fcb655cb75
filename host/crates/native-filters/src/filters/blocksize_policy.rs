//! `blocksize-policy`: other block sizes than the layer's below.

use nbd_proto::{BlockSizes, Export};

use crate::hook::Hook;
use crate::settings::Reader;

#[derive(Debug)]
pub(crate) struct BlockSizePolicy {
    minimum: Option<u32>,
    preferred: Option<u32>,
    maximum: Option<u32>,
    /// Requests that break them are refused; else as many as the layer below takes.
    strict: bool,
}

impl BlockSizePolicy {
    pub(crate) fn new(settings: &Reader<'_>) -> Self {
        let policies = [("allow", false), ("error", true)];
        // 0 is as if it weren't given.
        let size = |key: &str| settings.size(key).filter(|size| *size > 0);
        Self {
            minimum: size("blocksize-minimum"),
            preferred: size("blocksize-preferred"),
            maximum: size("blocksize-maximum"),
            strict: settings.choice("blocksize-error-policy", &policies, false),
        }
    }
}

impl Hook for BlockSizePolicy {
    /// What isn't set follows what is, as far as it has to.
    fn promise(&self, export: &mut Export) -> Result<(), String> {
        let below = export.block;
        let minimum = self.minimum.unwrap_or(below.minimum());
        let preferred = self
            .preferred
            .unwrap_or_else(|| below.preferred().max(minimum));
        let maximum = self.maximum.unwrap_or_else(|| {
            let most = below.maximum();
            (most - most % minimum.max(1)).max(preferred)
        });
        let block = BlockSizes::new(minimum, preferred, maximum)
            .map_err(|error| format!("the block sizes are wrong: {error}"))?;
        if self.strict {
            if block.minimum() < below.minimum() || block.maximum() > below.maximum() {
                return Err(format!(
                    "the layer below takes blocks of {} to {} bytes: put `blocksize` between",
                    below.minimum(),
                    below.maximum()
                ));
            }
        } else {
            export.enforced = Some(export.enforced.unwrap_or(below));
        }
        export.block = block;
        Ok(())
    }
}
