/* {{name}}: a disk on which every byte is its offset modulo 251. Replace it with your own. */
#include "nbdbox.h"

/* A reply is made in pieces of this many bytes, so a large read needs no more memory than a small one. */
#define PIECE 65536u

/* The settings that operators can give, and the files that they must grant. */
const nbdbox_manifest plugin_manifest = {
    "{{name}}", "0.1.0", "every byte is its offset modulo 251",
    {{"size", NBDBOX_SIZE, "1M", false, "size of the disk"}},
    {{0}},
};

static uint8_t piece[PIECE];

nbdbox_result plugin_open(const char *name, size_t name_length, nbdbox_device *device) {
    (void)name, (void)name_length;
    /* Read settings, open blobs (nbdbox_blob_open), read tables. */
    if (!nbdbox_setting_size("size", &device->size))
        return nbdbox_fail(NBDBOX_EINVAL, "size= is not a size, such as 64M");
    device->parallel = true;  /* any instance can serve any call */
    device->immutable = true; /* the contents never change */
    return NBDBOX_OK;
}

nbdbox_result plugin_read(nbdbox_reply reply, uint64_t offset, uint32_t length) {
    /* YOUR WORK GOES HERE: fill the reply with exactly `length` bytes from `offset` on, with
     * nbdbox_reply_data, nbdbox_reply_zeroes, or (by reference, from a granted file) nbdbox_reply_blob. */
    while (length > 0) {
        uint32_t count = length < PIECE ? length : PIECE;
        for (uint32_t at = 0; at < count; at++) piece[at] = (offset + at) % 251;
        nbdbox_reply_data(reply, piece, count);
        offset += count;
        length -= count;
    }
    return NBDBOX_OK;
}

nbdbox_result plugin_extents(nbdbox_extents extents, uint64_t offset, uint64_t length, bool one) {
    /* AND HERE: report holes and zeroes with nbdbox_extents_add. The host takes the rest for data. */
    (void)extents, (void)offset, (void)length, (void)one;
    return NBDBOX_OK;
}
