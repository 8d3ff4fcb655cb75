use nbdbox_plugin::{Blob, Result, WriteFlags, WritePayload};

/// Stores the payload at the same offset of a blob, by reference.
pub fn write(disk: &Blob, payload: &WritePayload, offset: u64, _flags: WriteFlags) -> Result<()> {
    payload.store(disk, offset, 0, payload.length());
    Ok(())
}
