/* A writable disk in C, in its own memory: holds the world read-write of the kit to real clients. */
#include "nbdbox.h"
const nbdbox_manifest plugin_manifest = {"c-disk", "0.1.0", "64 KiB of memory", {{0}}, {{0}}};
static unsigned char bytes[65536];
nbdbox_result plugin_open(const char *n, size_t l, nbdbox_device *d) { (void)n; (void)l; d->size = sizeof bytes; return NBDBOX_OK; }
nbdbox_result plugin_read(nbdbox_reply r, uint64_t o, uint32_t l) { nbdbox_reply_data(r, bytes + o, l); return NBDBOX_OK; }
nbdbox_result plugin_extents(nbdbox_extents e, uint64_t o, uint64_t l, bool one) { (void)one; return nbdbox_extents_add(e, o, l, NBDBOX_DATA, NULL); }
nbdbox_result plugin_write(nbdbox_payload p, uint64_t o, unsigned f) { (void)f; nbdbox_payload_read(p, 0, bytes + o, nbdbox_payload_length(p)); return NBDBOX_OK; }
nbdbox_result plugin_flush(void) { return NBDBOX_OK; }
nbdbox_result plugin_trim(uint64_t o, uint64_t l, unsigned f) { (void)o; (void)l; (void)f; return NBDBOX_OK; }
nbdbox_result plugin_zero(uint64_t o, uint64_t l, unsigned f) { (void)f; memset(bytes + o, 0, l); return NBDBOX_OK; }
