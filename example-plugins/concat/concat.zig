//! Granted blobs, one after the other, as one disk. Everything goes by reference.

const nbdbox = @import("nbdbox");

const most = 64;

const Part = struct { blob: nbdbox.nbdbox_blob, start: u64, length: u64 };

var parts: [most]Part = undefined;
var count: usize = 0;

export const plugin_manifest: nbdbox.nbdbox_manifest = manifest: {
    var manifest = @import("std").mem.zeroes(nbdbox.nbdbox_manifest);
    manifest.name = "concat";
    manifest.version = "0.1.0";
    manifest.summary = "granted blobs, one after the other";
    manifest.settings[0] = .{
        .key = "blobs",
        .kind = nbdbox.NBDBOX_TEXT,
        .fallback = null,
        .required = true,
        .help = "names of granted blobs, in order, separated by commas; at most 64",
    };
    break :manifest manifest;
};

export fn plugin_open(_: [*c]const u8, _: usize, device: *nbdbox.nbdbox_device) nbdbox.nbdbox_result {
    const names = nbdbox.nbdbox_setting_text("blobs") orelse
        return nbdbox.nbdbox_fail(nbdbox.NBDBOX_EINVAL, "blobs= is required: list the granted blobs");
    var size: u64 = 0;
    var name = names;
    var at = names;
    while (true) : (at += 1) {
        const last = at[0] == 0;
        if (!last and at[0] != ',') continue;
        at[0] = 0;
        const result = append(name, &size);
        if (result != nbdbox.NBDBOX_OK) return result;
        if (last) break;
        name = at + 1;
    }
    device.size = size;
    device.parallel = true;
    device.read_only = true;
    return nbdbox.NBDBOX_OK;
}

fn append(name: [*c]const u8, size: *u64) nbdbox.nbdbox_result {
    if (count == most)
        return nbdbox.nbdbox_fail(nbdbox.NBDBOX_EINVAL, "blobs=: more than 64 blobs");
    var part: Part = .{ .blob = undefined, .start = size.*, .length = 0 };
    if (nbdbox.nbdbox_blob_open(name, &part.blob) != nbdbox.NBDBOX_OK)
        return nbdbox.nbdbox_fail(nbdbox.NBDBOX_EINVAL, "blobs=: a listed blob isn't granted; add --blob NAME=PATH");
    const result = nbdbox.nbdbox_blob_size(part.blob, &part.length);
    if (result != nbdbox.NBDBOX_OK) return result;
    const end, const overflow = @addWithOverflow(size.*, part.length);
    if (overflow != 0)
        return nbdbox.nbdbox_fail(nbdbox.NBDBOX_EOVERFLOW, "the blobs together are too large for one disk");
    size.* = end;
    parts[count] = part;
    count += 1;
    return nbdbox.NBDBOX_OK;
}

/// The piece of a part that lies in a range: its offset in the part, and its length.
fn overlap(part: Part, offset: u64, length: u64) ?struct { u64, u64 } {
    const start = @max(offset, part.start);
    const end = @min(offset + length, part.start + part.length);
    return if (start < end) .{ start - part.start, end - start } else null;
}

export fn plugin_read(reply: nbdbox.nbdbox_reply, offset: u64, length: u32) nbdbox.nbdbox_result {
    for (parts[0..count]) |part| {
        const from, const bytes = overlap(part, offset, length) orelse continue;
        nbdbox.nbdbox_reply_blob(reply, part.blob, from, bytes);
    }
    return nbdbox.NBDBOX_OK;
}

export fn plugin_extents(extents: nbdbox.nbdbox_extents, offset: u64, length: u64, _: bool) nbdbox.nbdbox_result {
    for (parts[0..count]) |part| {
        const from, const bytes = overlap(part, offset, length) orelse continue;
        const result = nbdbox.nbdbox_extents_blob(extents, part.blob, from, bytes, part.start + from);
        if (result != nbdbox.NBDBOX_OK) return result;
    }
    return nbdbox.NBDBOX_OK;
}
