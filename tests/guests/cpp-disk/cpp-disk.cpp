// A writable disk in C++, in its own memory: holds the C kit to C++ and to real clients.
#include "nbdbox.h"

#include <algorithm>
#include <array>

namespace {

std::array<std::uint8_t, 65536> bytes;

} // namespace

const nbdbox_manifest plugin_manifest = {"cpp-disk", "0.1.0", "64 KiB of memory", {}, {}};

nbdbox_result plugin_open(const char *, std::size_t, nbdbox_device *device) {
    device->size = bytes.size();
    return NBDBOX_OK;
}

nbdbox_result plugin_read(nbdbox_reply reply, std::uint64_t offset, std::uint32_t length) {
    nbdbox_reply_data(reply, bytes.data() + offset, length);
    return NBDBOX_OK;
}

nbdbox_result plugin_extents(nbdbox_extents, std::uint64_t, std::uint64_t, bool) { return NBDBOX_OK; }

nbdbox_result plugin_write(nbdbox_payload payload, std::uint64_t offset, unsigned) {
    nbdbox_payload_read(payload, 0, bytes.data() + offset, nbdbox_payload_length(payload));
    return NBDBOX_OK;
}

nbdbox_result plugin_flush(void) { return NBDBOX_OK; }

nbdbox_result plugin_trim(std::uint64_t, std::uint64_t, unsigned) { return NBDBOX_OK; }

nbdbox_result plugin_zero(std::uint64_t offset, std::uint64_t length, unsigned) {
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), length, std::uint8_t{0});
    return NBDBOX_OK;
}
