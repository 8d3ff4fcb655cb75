//! {{name}}: a disk on which every byte is its offset modulo 251. Replace it with your own.

const std = @import("std");
const nbdbox = @import("nbdbox");

/// A reply is made in pieces of this many bytes, so a large read needs no more memory than a small one.
var piece: [65536]u8 = undefined;

/// The settings that operators can give, and the files that they must grant.
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
        return nbdbox.nbdbox_fail(nbdbox.NBDBOX_EINVAL, "size= is not a size, such as 64M");
    device.parallel = true; // any instance can serve any call
    device.immutable = true; // the contents never change
    return nbdbox.NBDBOX_OK;
}

export fn plugin_read(reply: nbdbox.nbdbox_reply, offset: u64, length: u32) nbdbox.nbdbox_result {
    // YOUR WORK GOES HERE: fill the reply with exactly `length` bytes from `offset` on, with
    // nbdbox_reply_data, nbdbox_reply_zeroes, or (by reference, from a granted file) nbdbox_reply_blob.
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
    // AND HERE: report holes and zeroes with nbdbox_extents_add. The host takes the rest for data.
    return nbdbox.NBDBOX_OK;
}
