/* One partition of a granted disk, MBR or GPT. The plugin reads the table when the instance opens, and serves the
 * data by reference: it never enters the sandbox. The filter `partition-filter` finds the same partitions on every
 * disk; one table of tests checks both. */
#include "nbdbox.h"

/* The most bytes of a table of GPT entries, and the bytes of one entry. */
#define LARGEST (1u << 20)
#define SMALLEST_ENTRY 128u
#define LARGEST_ENTRY 4096u

const nbdbox_manifest plugin_manifest = {
    "partition", "0.1.0", "one partition of a granted disk, MBR or GPT",
    {{"number", NBDBOX_NUMBER, "1", false, "number of the partition, from 1; logical partitions of an MBR from 5"},
     {"sectorsize", NBDBOX_SIZE, NULL, false,
      "sector size of the disk, 512 or 4096 (default: detected for a GPT, 512 for an MBR)"}},
    {{"disk", NBDBOX_READ_ONLY, "the disk with the partition table"}},
};

static nbdbox_blob disk;
static uint64_t disk_size, sector_size = 512; /* in bytes */
static uint64_t start, size;                  /* of the partition, in bytes */
static uint64_t number;

static uint32_t le32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t le64(const uint8_t *at) { return le32(at) | (uint64_t)le32(at + 4) << 32; }

static nbdbox_result no_such(void) {
    return nbdbox_fail(NBDBOX_EINVAL, "number=: there is no such partition");
}

/* Reads `length` bytes from the start of a sector on. */
static nbdbox_result read_sector(uint64_t sector, void *bytes, uint32_t length) {
    uint64_t sectors = disk_size / sector_size, count = (length + sector_size - 1) / sector_size;
    if (count > sectors || sector > sectors - count)
        return nbdbox_fail(NBDBOX_EIO, "the partition table points past the end of the disk");
    return nbdbox_blob_read(disk, sector * sector_size, bytes, length);
}

/* Selects sectors [first, first + count), if they are on the disk. */
static nbdbox_result take(uint64_t first, uint64_t count) {
    uint64_t sectors = disk_size / sector_size;
    if (first == 0 || count == 0 || first > sectors || count > sectors - first)
        return nbdbox_fail(NBDBOX_EIO, "the partition isn't inside the disk");
    start = first * sector_size;
    size = count * sector_size;
    return NBDBOX_OK;
}

/* ---- MBR: a table of four, and a chain of more in an extended partition ---- */

typedef struct {
    uint8_t kind;
    uint64_t first, count;
} entry;

/* Reads the entries of a table. Returns false if the sector holds no table. */
static bool table_of(const uint8_t *sector, entry entries[4]) {
    for (int i = 0; i < 4; i++) {
        const uint8_t *at = sector + 446 + 16 * i;
        entries[i] = (entry){at[4], le32(at + 8), le32(at + 12)};
    }
    return sector[510] == 0x55 && sector[511] == 0xaa;
}

/* As in Linux and sfdisk, the size decides whether an entry is used, not the kind. */
static bool is_extended(const entry *at) {
    return at->count > 0 && (at->kind == 0x05 || at->kind == 0x0f || at->kind == 0x85);
}

static bool is_inside(const entry *extended, uint64_t first, uint64_t count) {
    return first >= extended->first && first + count <= extended->first + extended->count;
}

/* A link of the chain: its sector, the number of sectors that belong to it, and the number of links before it. */
typedef struct {
    uint64_t first, count, steps;
    uint64_t mark, since; /* if this sector comes again the chain is a circle: Brent's algorithm */
    entry entries[4];
} link;

static link first_link(const entry *extended) {
    link at;
    memset(&at, 0, sizeof at);
    at.first = extended->first;
    at.count = extended->count;
    return at;
}

/* Reads the table of a link. */
static nbdbox_result read_link(link *at) {
    uint8_t sector[512];
    if (at->first == at->mark)
        return nbdbox_fail(NBDBOX_EINVAL, "number=: there is no such partition: "
                                          "the chain of logical partitions is a circle");
    if (at->steps >= 2 * at->since) {
        at->mark = at->first;
        at->since = at->steps > 0 ? at->steps : 1;
    }
    at->steps++;
    nbdbox_result result = read_sector(at->first, sector, sizeof sector);
    if (result == NBDBOX_OK && !table_of(sector, at->entries))
        return nbdbox_fail(NBDBOX_EINVAL, "number=: there is no such partition: "
                                          "the chain of logical partitions is broken");
    return result;
}

/* Goes to the next link, whose place is relative to the start of the extended partition. Returns false if there
 * is none. */
static bool follow(link *at, const entry *extended) {
    for (int i = 0; i < 4; i++)
        if (is_extended(&at->entries[i])) {
            at->first = extended->first + at->entries[i].first;
            at->count = at->entries[i].count;
            return true;
        }
    return false;
}

/* Whether the chain visited this link before, so that its partitions have a number already. */
static nbdbox_result was_there(const link *last, const entry *extended, bool *was) {
    link at = first_link(extended);
    nbdbox_result result = read_link(&at);
    while (result == NBDBOX_OK && at.first != last->first && follow(&at, extended)) result = read_link(&at);
    *was = at.steps < last->steps;
    return result;
}

/* Searches for the partition in one chain. `before` counts down to it; sets `*found` if the chain has it. */
static nbdbox_result find_logical(const entry *extended, uint64_t *before, bool *found) {
    link at = first_link(extended);
    do {
        nbdbox_result result = read_link(&at);
        if (result != NBDBOX_OK) return result;
        for (int i = 0; i < 4; i++) {
            const entry *own = &at.entries[i];
            uint64_t first = at.first + own->first;
            /* The third and fourth entry may be garbage: they count only if they are inside the link. */
            bool sound = i < 2 || (own->first + own->count <= at.count &&
                                   is_inside(extended, first, own->count));
            if (own->count == 0 || is_extended(own) || !sound || (*before)-- > 0) continue;
            *found = true;
            bool was;
            result = was_there(&at, extended, &was);
            if (result != NBDBOX_OK) return result;
            if (was)
                return nbdbox_fail(NBDBOX_EINVAL, "number=: there is no such partition: "
                                                  "the chain of logical partitions is a circle");
            if (!is_inside(extended, first, own->count))
                return nbdbox_fail(NBDBOX_EIO, "a logical partition isn't inside the extended partition");
            return take(first, own->count);
        }
    } while (follow(&at, extended));
    return NBDBOX_OK;
}

static nbdbox_result find_mbr(const entry entries[4]) {
    if (number <= 4) {
        const entry *at = &entries[number - 1];
        return at->count == 0 ? no_such() : take(at->first, at->count);
    }
    uint64_t before = number - 5;
    bool found = false, any = false;
    for (int i = 0; i < 4; i++) {
        /* A chain in sector 0 would begin with the table itself. */
        if (!is_extended(&entries[i]) || entries[i].first == 0) continue;
        any = true;
        nbdbox_result result = find_logical(&entries[i], &before, &found);
        if (result != NBDBOX_OK || found) return result;
    }
    if (any) return no_such();
    return nbdbox_fail(NBDBOX_EINVAL, "number=: there is no such partition: "
                                      "an MBR without an extended partition has partitions 1 to 4");
}

/* ---- GPT: a header and a table with checksums, and a copy of both at the end of the disk ---- */

static uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t length) {
    crc = ~crc;
    while (length-- > 0) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* Checks the header in that sector, and its entries. Returns what is wrong; or NULL, with the header in `header`, a
 * whole sector. */
static const char *damage(uint64_t sector, uint8_t *header) {
    if (read_sector(sector, header, (uint32_t)sector_size) != NBDBOX_OK)
        return "the GPT is damaged: can't read its header";
    if (memcmp(header, "EFI PART", 8) != 0) return "the GPT is damaged: wrong signature";
    uint32_t length = le32(header + 12), sum = le32(header + 16);
    if (length < 92 || length > sector_size) return "the GPT is damaged: wrong header length";
    memset(header + 16, 0, 4);
    if (crc32(0, header, length) != sum) return "the GPT is damaged: wrong header checksum";
    if (le64(header + 24) != sector) return "the GPT is damaged: wrong address of the header";
    if (le64(header + 48) >= disk_size / sector_size) return "the GPT is damaged: it belongs to a larger disk";
    uint64_t count = le32(header + 80), entry_size = le32(header + 84), bytes = count * entry_size;
    if (entry_size < SMALLEST_ENTRY || entry_size > LARGEST_ENTRY || entry_size % 8 != 0 || bytes > LARGEST)
        return "the GPT is damaged: wrong size of the entries";
    uint8_t part[512];
    uint32_t crc = 0;
    uint64_t table = le64(header + 72), sectors = disk_size / sector_size;
    if (table > sectors || bytes > (sectors - table) * sector_size)
        return "the GPT is damaged: the partition table points past the end of the disk";
    for (uint64_t at = 0; at < bytes; at += sizeof part) {
        uint32_t some = bytes - at < sizeof part ? (uint32_t)(bytes - at) : (uint32_t)sizeof part;
        if (nbdbox_blob_read(disk, table * sector_size + at, part, some) != NBDBOX_OK)
            return "the GPT is damaged: can't read its entries";
        crc = crc32(crc, part, some);
    }
    return crc == le32(header + 88) ? NULL : "the GPT is damaged: wrong checksum of the entries";
}

/* Searches for a GPT with each sector size, or with the one that the operator set: in sector 1, or its copy in the
 * last sector. Sets `sector_size`; or sets `*why`, preferring the reason of a table that has a signature. */
static bool has_gpt(bool said, bool copy, uint8_t *header, const char **why) {
    uint64_t only = sector_size;
    *why = NULL;
    for (sector_size = 512; sector_size <= 4096; sector_size *= 8) {
        if ((said && sector_size != only) || disk_size < sector_size) continue;
        const char *what = damage(copy ? disk_size / sector_size - 1 : 1, header);
        if (what == NULL) return true;
        if (*why == NULL || memcmp(header, "EFI PART", 8) == 0) *why = what;
    }
    sector_size = only;
    return false;
}

static nbdbox_result find_gpt(bool said) {
    static uint8_t header[4096];
    uint8_t entry[SMALLEST_ENTRY];
    const char *why, *also;
    if (!has_gpt(said, false, header, &why)) {
        if (!has_gpt(said, true, header, &also)) return nbdbox_fail(NBDBOX_EIO, why);
        char line[160] = "";
        strcat(strcat(line, why), "; reading the copy at the end of the disk");
        plugin_string_t text = nbdbox_text(line);
        nbdbox_plugin_host_log(NBDBOX_PLUGIN_HOST_LEVEL_WARN, &text);
    }
    if (number > le32(header + 80)) return no_such();
    uint64_t at = le64(header + 72) * sector_size + (number - 1) * le32(header + 84);
    nbdbox_result result = nbdbox_blob_read(disk, at, entry, sizeof entry);
    if (result != NBDBOX_OK) return result;
    uint64_t first = le64(entry + 32), last = le64(entry + 40);
    if (le64(entry) == 0 && le64(entry + 8) == 0) return no_such();
    if (last < first || last == UINT64_MAX)
        return nbdbox_fail(NBDBOX_EIO, "the partition ends before it begins");
    /* Ignore which sectors the header calls usable: boot loaders keep partitions outside of them. */
    return take(first, last - first + 1);
}

static nbdbox_result find(bool said) {
    uint8_t sector[512];
    entry entries[4];
    if (disk_size < sector_size)
        return nbdbox_fail(NBDBOX_EINVAL, "the disk is smaller than a sector, so it has no partition table");
    nbdbox_result result = nbdbox_blob_read(disk, 0, sector, sizeof sector);
    if (result != NBDBOX_OK) return result;
    if (!table_of(sector, entries)) return nbdbox_fail(NBDBOX_EINVAL, "the disk has no partition table");
    /* In a hybrid table any of the four entries may be the protective one. */
    for (int i = 0; i < 4; i++)
        if (entries[i].kind == 0xee) return find_gpt(said);
    return find_mbr(entries);
}

nbdbox_result plugin_open(const char *name, size_t name_length, nbdbox_device *device) {
    (void)name, (void)name_length;
    char *text = nbdbox_setting_text("number");
    number = text == NULL ? 1 : strtoull(text, NULL, 10);
    free(text);
    if (number == 0) return nbdbox_fail(NBDBOX_EINVAL, "number=0: the first partition is 1");
    bool said = nbdbox_setting_size("sectorsize", &sector_size);
    if (sector_size != 512 && sector_size != 4096)
        return nbdbox_fail(NBDBOX_EINVAL, "sectorsize= must be 512 or 4096");

    nbdbox_result result = nbdbox_blob_open("disk", &disk);
    if (result == NBDBOX_OK) result = nbdbox_blob_size(disk, &disk_size);
    if (result == NBDBOX_OK) result = find(said);
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
