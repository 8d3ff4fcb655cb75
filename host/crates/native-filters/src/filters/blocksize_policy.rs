//! `blocksize-policy`: advertises other block sizes than the layer below.

use nbd_proto::{BlockSizes, Export};

use crate::hook::Hook;
use crate::settings::Reader;

#[derive(Debug)]
pub(crate) struct BlockSizePolicy {
    minimum: Option<u32>,
    preferred: Option<u32>,
    maximum: Option<u32>,
    /// Whether requests that break the sizes are refused; else they are admitted as far as the layer below accepts
    /// them.
    strict: bool,
}

impl BlockSizePolicy {
    pub(crate) fn new(settings: &Reader<'_>) -> Self {
        let policies = [("allow", false), ("error", true)];
        // As in nbdkit, 0 counts as not set.
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
    /// Sizes that aren't set follow the layer below, adapted to those that are set.
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
                    "the layer below accepts blocks of {} to {} bytes: put the filter `blocksize` between",
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
