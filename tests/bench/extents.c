/* An nbdkit plugin with as many extents as there are pages, every other a hole: what the row
 * `extents` compares with. */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define SIZE (INT64_C(4096) * 100000)

static void *extents_open(int readonly)
{
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t extents_get_size(void *handle)
{
    return SIZE;
}

static int extents_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
    memset(buf, 0, count);
    return 0;
}

static int extents_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                           struct nbdkit_extents *extents)
{
    uint64_t at, end = offset + count;
    for (at = offset / 4096 * 4096; at < end; at += 4096) {
        uint32_t type = at / 4096 % 2 ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0;
        if (nbdkit_add_extent(extents, at, 4096, type) == -1)
            return -1;
    }
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "extents",
    .open = extents_open,
    .get_size = extents_get_size,
    .pread = extents_pread,
    .extents = extents_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
