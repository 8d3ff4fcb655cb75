//! `notrim`: trimming isn't advertised.

use nbd_proto::{Export, ExportFlags};

use crate::hook::Hook;

#[derive(Debug)]
pub(crate) struct NoTrim;

impl Hook for NoTrim {
    fn promise(&self, export: &mut Export) -> Result<(), String> {
        export.flags.remove(ExportFlags::SEND_TRIM);
        Ok(())
    }
}
