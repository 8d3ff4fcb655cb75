//! Calls host functions through the canonical ABI, with arguments that no binding would pass.

use nbdbox_plugin::{Blob, ReadReply};

#[link(wasm_import_module = "nbdbox:plugin/host@0.1.0")]
unsafe extern "C" {
    #[link_name = "log"]
    fn host_log(level: i32, text: usize, length: usize);
}

#[link(wasm_import_module = "nbdbox:plugin/requests@0.1.0")]
unsafe extern "C" {
    #[link_name = "[method]read-reply.data"]
    fn reply_data(handle: u32, bytes: usize, length: usize);
    #[link_name = "[method]read-reply.zeroes"]
    fn reply_zeroes(handle: u32, length: u64);
    #[link_name = "[method]extents.end-at"]
    fn extents_end_at(handle: u32, offset: u64);
    #[link_name = "[method]extents.add-all"]
    fn extents_add_all(handle: u32, list: usize, length: usize, result: usize);
}

#[link(wasm_import_module = "nbdbox:plugin/blobs@0.1.0")]
unsafe extern "C" {
    #[link_name = "[resource-drop]blob"]
    fn blob_drop(handle: u32);
}

/// Logs a string that isn't UTF-8.
pub fn log_invalid_utf8() {
    let bytes = [0xff, 0xfe, 0x80];
    unsafe { host_log(1, bytes.as_ptr() as usize, bytes.len()) }
}

/// Logs a string as long as the address space.
pub fn log_4_gib() {
    unsafe { host_log(1, 0, usize::MAX) }
}

/// Logs at a level that doesn't exist.
pub fn log_invalid_enum() {
    unsafe { host_log(77, 0, 0) }
}

/// Replies with bytes past the end of memory.
pub fn data_past_memory(reply: &ReadReply) {
    unsafe { reply_data(reply.handle(), usize::MAX - 100, 100) }
}

/// Replies with a list as long as the address space.
pub fn data_4_gib(reply: &ReadReply) {
    unsafe { reply_data(reply.handle(), 0, usize::MAX) }
}

/// Uses the extents' handle of another call.
pub fn kept_extents(handle: u32) {
    unsafe { extents_end_at(handle, 0) }
}

/// Uses a handle that the host never made.
pub fn forged_handle() {
    unsafe { reply_zeroes(12_345, 1) }
}

/// Uses the reply's handle of another call.
pub fn kept_handle(handle: u32) {
    unsafe { reply_zeroes(handle, 1) }
}

/// Uses a blob's handle where the host expects a reply's.
pub fn wrong_kind_of_handle(blob: &Blob) {
    unsafe { reply_zeroes(blob.handle(), 1) }
}

/// Adds a list of 100 million extents, which reaches past the end of memory.
pub fn add_all_past_memory(handle: u32) {
    let mut result = [0u8; 8];
    unsafe { extents_add_all(handle, 0, 100_000_000, result.as_mut_ptr() as usize) }
}

/// Drops a handle twice.
pub fn double_drop(blob: Blob) {
    let handle = blob.take_handle();
    unsafe {
        blob_drop(handle);
        blob_drop(handle);
    }
}
