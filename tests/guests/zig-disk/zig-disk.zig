//! A writable disk in Zig, in its own memory: holds the world read-write to real clients.

const std = @import("std");
const nbdbox = @import("nbdbox");

var bytes: [65536]u8 = @splat(0);

export const plugin_manifest: nbdbox.nbdbox_manifest = manifest: {
    var manifest = std.mem.zeroes(nbdbox.nbdbox_manifest);
    manifest.name = "zig-disk";
    manifest.version = "0.1.0";
    manifest.summary = "64 KiB of memory";
    break :manifest manifest;
};

export fn plugin_open(_: [*c]const u8, _: usize, device: *nbdbox.nbdbox_device) nbdbox.nbdbox_result {
    device.size = bytes.len;
    return nbdbox.NBDBOX_OK;
}

export fn plugin_read(reply: nbdbox.nbdbox_reply, offset: u64, length: u32) nbdbox.nbdbox_result {
    nbdbox.nbdbox_reply_data(reply, &bytes[@intCast(offset)], length);
    return nbdbox.NBDBOX_OK;
}

export fn plugin_extents(_: nbdbox.nbdbox_extents, _: u64, _: u64, _: bool) nbdbox.nbdbox_result {
    return nbdbox.NBDBOX_OK;
}

export fn plugin_write(payload: nbdbox.nbdbox_payload, offset: u64, _: c_uint) nbdbox.nbdbox_result {
    const length = nbdbox.nbdbox_payload_length(payload);
    nbdbox.nbdbox_payload_read(payload, 0, &bytes[@intCast(offset)], length);
    return nbdbox.NBDBOX_OK;
}

export fn plugin_flush() nbdbox.nbdbox_result {
    return nbdbox.NBDBOX_OK;
}

export fn plugin_trim(_: u64, _: u64, _: c_uint) nbdbox.nbdbox_result {
    return nbdbox.NBDBOX_OK;
}

export fn plugin_zero(offset: u64, length: u64, _: c_uint) nbdbox.nbdbox_result {
    @memset(bytes[@intCast(offset)..@intCast(offset + length)], 0);
    return nbdbox.NBDBOX_OK;
}
