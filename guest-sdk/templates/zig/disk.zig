//! {{name}}: every byte is its offset modulo 251. Put your own disk in its place.

const std = @import("std");
const nbdbox = @import("nbdbox");

/// Bytes of a reply that are made at once: a large read then needs no more memory than a small one.
var piece: [65536]u8 = undefined;

/// Settings that operators can give, and the files that they must grant.
export const plugin_manifest: nbdbox.nbdbox_manifest = manifest: {
    var manifest = std.mem.zeroes(nbdbox.nbdbox_manifest);
    manifest.name = "{{name}}";
    manifest.version = "0.1.0";
    manifest.summary = "every byte is its offset modulo 251";
    manifest.settings[0] = .{
        .key = "size",
        .kind = nbdbox.NBDBOX_SIZE,
        .fallback = "1M",
        .required = false,
        .help = "size of the disk",
    };
    break :manifest manifest;
};

export fn plugin_open(_: [*c]const u8, _: usize, device: *nbdbox.nbdbox_device) nbdbox.nbdbox_result {
    // Read settings, open blobs (nbdbox_blob_open), read tables.
    if (!nbdbox.nbdbox_setting_size("size", &device.size))
        return nbdbox.nbdbox_fail(nbdbox.NBDBOX_EINVAL, "size= is no size");
    device.parallel = true; // nothing in memory matters
    device.immutable = true; // the contents never change
    return nbdbox.NBDBOX_OK;
}

export fn plugin_read(reply: nbdbox.nbdbox_reply, offset: u64, length: u32) nbdbox.nbdbox_result {
    // YOUR WORK GOES HERE: exactly `length` bytes from `offset` on, by nbdbox_reply_data,
    // nbdbox_reply_zeroes, or, without touching them, from a granted file by nbdbox_reply_blob.
    const end = offset + length;
    var at = offset;
    while (at < end) {
        const count: usize = @intCast(@min(piece.len, end - at));
        for (piece[0..count], 0..) |*byte, index| byte.* = @intCast((at + index) % 251);
        nbdbox.nbdbox_reply_data(reply, &piece, count);
        at += count;
    }
    return nbdbox.NBDBOX_OK;
}

export fn plugin_extents(_: nbdbox.nbdbox_extents, _: u64, _: u64, _: bool) nbdbox.nbdbox_result {
    // AND HERE: nbdbox_extents_add what reads as zeroes. What you leave out is data: always right.
    return nbdbox.NBDBOX_OK;
}
