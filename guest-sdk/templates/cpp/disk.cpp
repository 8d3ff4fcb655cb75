// {{name}}: a disk on which every byte is its offset modulo 251. Replace it with your own.
#include "nbdbox.h"

#include <algorithm>
#include <array>

namespace {

// A reply is made in pieces of this many bytes, so a large read needs no more memory than a small one.
constexpr std::size_t piece = 65536;

struct Disk {
    std::array<std::uint8_t, piece> bytes;

    nbdbox_result read(nbdbox_reply reply, std::uint64_t offset, std::size_t length) {
        // YOUR WORK GOES HERE: fill the reply with exactly `length` bytes from `offset` on, with
        // nbdbox_reply_data, nbdbox_reply_zeroes, or (by reference, from a granted file) nbdbox_reply_blob.
        while (length > 0) {
            const auto count = std::min(length, piece);
            for (std::size_t at = 0; at < count; at++) bytes[at] = (offset + at) % 251;
            nbdbox_reply_data(reply, bytes.data(), count);
            offset += count;
            length -= count;
        }
        return NBDBOX_OK;
    }
};

Disk disk;

} // namespace

// The settings that operators can give, and the files that they must grant.
const nbdbox_manifest plugin_manifest = {
    "{{name}}", "0.1.0", "every byte is its offset modulo 251",
    {{"size", NBDBOX_SIZE, "1M", false, "size of the disk"}},
    {},
};

nbdbox_result plugin_open(const char *, std::size_t, nbdbox_device *device) {
    // Read settings, open blobs (nbdbox_blob_open), read tables.
    if (!nbdbox_setting_size("size", &device->size))
        return nbdbox_fail(NBDBOX_EINVAL, "size= is not a size, such as 64M");
    device->parallel = true;  // any instance can serve any call
    device->immutable = true; // the contents never change
    return NBDBOX_OK;
}

nbdbox_result plugin_read(nbdbox_reply reply, std::uint64_t offset, std::uint32_t length) {
    return disk.read(reply, offset, length);
}

nbdbox_result plugin_extents(nbdbox_extents, std::uint64_t, std::uint64_t, bool) {
    // AND HERE: report holes and zeroes with nbdbox_extents_add. The host takes the rest for data.
    return NBDBOX_OK;
}
