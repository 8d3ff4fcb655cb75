//! What clients see of an export: what the plugin returned from `open`, checked, and the flags that follow from its
//! interfaces.

use device::fault::{Cause, Failure, Fault};
use nbd_proto::{BlockSizes, Errno, Export, ExportFlags, limits::MAX_STRING};

use crate::abi::interfaces::{INTERFACES, Interfaces};
use crate::abi::names::log_export;
use crate::abi::wit::DeviceInfo;
use crate::instance::context::ExportContext;
use crate::loaded::plugin::Plugin;

/// The largest size of an export, in bytes. Kernels have signed offsets.
const MAX_SIZE: u64 = i64::MAX as u64;

/// Checks what the plugin returned from `open`, and makes of it what clients see.
///
/// # Errors
/// The size or the block sizes can't be served; the text has the reason, and is logged.
pub(crate) fn advertise(
    plugin: &Plugin,
    ctx: &ExportContext,
    info: &DeviceInfo,
    read_only: bool,
) -> Result<Export, Failure> {
    let refuse = |text: String| {
        log_export!(warn, &ctx.names, "{text}");
        Failure {
            errno: Errno::Einval,
            text: text.into(),
            fault: Fault::Plugin(Cause::Changed),
        }
    };
    let block = match info.block_sizes {
        // A filter without block sizes of its own has those of the layer below.
        None => match &ctx.grants.next {
            Some(next) => next.export().block,
            None => BlockSizes::default(),
        },
        Some(sizes) => BlockSizes::new(sizes.minimum, sizes.preferred, sizes.maximum)
            .map_err(|error| refuse(format!("the plugin's block sizes are wrong: {error}")))?,
    };
    if info.size > MAX_SIZE {
        return Err(refuse(format!(
            "the plugin's size is too large: {} bytes",
            info.size
        )));
    }
    let description = info.description.as_ref().map(|text| {
        let cut = &text[..text.floor_char_boundary(MAX_STRING)];
        cut.replace('\0', " ")
    });
    Ok(Export {
        name: ctx.names.export.clone(),
        description,
        // Clients can't reach the rest of an incomplete last block.
        size: info.size - info.size % u64::from(block.minimum()),
        flags: flags(plugin, read_only || info.read_only),
        block,
        enforced: None,
        // Every export has this context, because "all data" is a correct answer for each.
        allocation: true,
    })
}

/// The flags that follow from the plugin's interfaces.
fn flags(plugin: &Plugin, read_only: bool) -> ExportFlags {
    let mut interfaces = plugin.world().interfaces;
    if read_only {
        interfaces.remove(Interfaces::WRITABLE);
    }
    let of_use = INTERFACES.iter().filter(|row| row.is_of_use(interfaces));
    let mut flags = ExportFlags::HAS_FLAGS | of_use.map(|row| row.flags).collect();
    let writable = interfaces.contains(Interfaces::WRITABLE);
    flags.set(ExportFlags::READ_ONLY, !writable);
    // A flush reaches every instance that took a change, whichever connection it comes from, and reads of a `single`
    // instance queue behind its writes. So connections see each other's changes.
    flags | ExportFlags::CAN_MULTI_CONN
}
