/* One partition of a granted disk (MBR or GPT, sectors of 512 bytes). The table is read when the
 * instance opens; the data is served by reference and never enters the sandbox. */
#include "nbdbox.h"

#define SECTOR 512u

const nbdbox_manifest plugin_manifest = {
    "partition", "0.1.0", "one partition of a granted disk, MBR or GPT",
    {{"number", NBDBOX_NUMBER, "1", false, "which partition, from 1; MBR: 1 to 4"}},
    {{"disk", NBDBOX_READ_ONLY, "the disk with the partition table"}},
};

static nbdbox_blob disk;
static uint64_t start, size; /* of the partition, in bytes */

static uint32_t le32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t le64(const uint8_t *at) { return le32(at) | (uint64_t)le32(at + 4) << 32; }

/* Takes sectors [first, first + count) if they lie on the disk. */
static nbdbox_result take(uint64_t first, uint64_t count, uint64_t disk_size) {
    uint64_t sectors = disk_size / SECTOR;
    if (first == 0 || first > sectors || count > sectors - first)
        return nbdbox_fail(NBDBOX_EIO, "the partition isn't inside the disk");
    start = first * SECTOR;
    size = count * SECTOR;
    return NBDBOX_OK;
}

static nbdbox_result find_gpt(uint64_t number, uint64_t disk_size) {
    uint8_t header[SECTOR], entry[128];
    nbdbox_result result = nbdbox_blob_read(disk, SECTOR, header, SECTOR);
    if (result != NBDBOX_OK) return result;
    if (memcmp(header, "EFI PART", 8) != 0)
        return nbdbox_fail(NBDBOX_EIO, "the GPT header is missing");
    uint64_t table = le64(header + 72);
    uint32_t entries = le32(header + 80), entry_size = le32(header + 84);
    if (entry_size < sizeof entry || entry_size > 4096)
        return nbdbox_fail(NBDBOX_EIO, "the GPT header is damaged");
    if (number > entries) return nbdbox_fail(NBDBOX_EINVAL, "number=: the GPT has no such entry");
    uint64_t at = (number - 1) * entry_size;
    if (table > disk_size / SECTOR || at > disk_size - table * SECTOR)
        return nbdbox_fail(NBDBOX_EIO, "the GPT header points past the disk");
    result = nbdbox_blob_read(disk, table * SECTOR + at, entry, sizeof entry);
    if (result != NBDBOX_OK) return result;
    uint64_t first = le64(entry + 32), last = le64(entry + 40);
    if (le64(entry) == 0 && le64(entry + 8) == 0)
        return nbdbox_fail(NBDBOX_EINVAL, "number=: there is no such partition");
    if (last < first || last == UINT64_MAX)
        return nbdbox_fail(NBDBOX_EIO, "the partition ends before it begins");
    return take(first, last - first + 1, disk_size);
}

static nbdbox_result find(uint64_t number, uint64_t disk_size) {
    uint8_t mbr[SECTOR];
    if (disk_size < SECTOR) return nbdbox_fail(NBDBOX_EINVAL, "the disk is smaller than a sector");
    nbdbox_result result = nbdbox_blob_read(disk, 0, mbr, SECTOR);
    if (result != NBDBOX_OK) return result;
    if (mbr[510] != 0x55 || mbr[511] != 0xaa)
        return nbdbox_fail(NBDBOX_EINVAL, "the disk has no partition table");
    if (mbr[446 + 4] == 0xee) return find_gpt(number, disk_size);
    if (number > 4) return nbdbox_fail(NBDBOX_EINVAL, "number=: an MBR has 1 to 4");
    const uint8_t *entry = mbr + 446 + 16 * (number - 1);
    if (entry[4] == 0) return nbdbox_fail(NBDBOX_EINVAL, "number=: there is no such partition");
    return take(le32(entry + 8), le32(entry + 12), disk_size);
}

nbdbox_result plugin_open(const char *name, size_t name_length, nbdbox_device *device) {
    (void)name, (void)name_length;
    char *text = nbdbox_setting_text("number");
    uint64_t number = text == NULL ? 1 : strtoull(text, NULL, 10), disk_size = 0;
    free(text);
    if (number == 0) return nbdbox_fail(NBDBOX_EINVAL, "number=: partitions count from 1");

    nbdbox_result result = nbdbox_blob_open("disk", &disk);
    if (result == NBDBOX_OK) result = nbdbox_blob_size(disk, &disk_size);
    if (result == NBDBOX_OK) result = find(number, disk_size);
    device->size = size;
    device->parallel = true;
    return result;
}

nbdbox_result plugin_read(nbdbox_reply reply, uint64_t offset, uint32_t length) {
    nbdbox_reply_blob(reply, disk, start + offset, length);
    return NBDBOX_OK;
}

nbdbox_result plugin_extents(nbdbox_extents extents, uint64_t offset, uint64_t length, bool one) {
    (void)one;
    return nbdbox_extents_blob(extents, disk, start + offset, length, offset);
}
