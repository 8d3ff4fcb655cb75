/* The C and C++ kit for nbdbox plugins: what a plugin defines, and what it may call.
 *
 * Include it in one source file, define `plugin_manifest` and the `plugin_…` functions below, and
 * compile with `-I` of the world's folder: `read-only`, or `read-write` for a disk that clients can
 * write to. wit/ specifies each call. Offsets and lengths are in bytes; calls never overlap. */
#ifndef NBDBOX_H
#define NBDBOX_H

#include "plugin.h"
#include <stdlib.h>
#include <string.h>

/* The result of a call: success, or one of the errors that NBD can carry. */
typedef enum {
    NBDBOX_OK,
    NBDBOX_EPERM,
    NBDBOX_EIO,
    NBDBOX_ENOMEM,
    NBDBOX_EINVAL,
    NBDBOX_ENOSPC,
    NBDBOX_EOVERFLOW,
    NBDBOX_ENOTSUP,
    NBDBOX_ESHUTDOWN
} nbdbox_result;

typedef enum { NBDBOX_DATA, NBDBOX_HOLE, NBDBOX_ZERO, NBDBOX_UNDEFINED } nbdbox_kind;
typedef enum { NBDBOX_MAP_ONLY, NBDBOX_READ_ONLY, NBDBOX_READ_WRITE } nbdbox_access;
typedef enum { NBDBOX_TEXT, NBDBOX_SIZE, NBDBOX_NUMBER, NBDBOX_BOOLEAN } nbdbox_value;
typedef enum { NBDBOX_FUA = 1, NBDBOX_NO_HOLE = 2, NBDBOX_FAST_ZERO = 4 } nbdbox_flags;

/* Handles that the host lends for one call. */
typedef nbdbox_plugin_requests_borrow_read_reply_t nbdbox_reply;
typedef nbdbox_plugin_requests_borrow_write_payload_t nbdbox_payload;
typedef nbdbox_plugin_requests_borrow_extents_t nbdbox_extents;
/* A granted file. Open it once and keep it as long as the instance lives. */
typedef nbdbox_plugin_blobs_own_blob_t nbdbox_blob;

/* ---- What the plugin defines ---- */

typedef struct {
    const char *key;
    nbdbox_value kind;
    const char *fallback; /* NULL: none */
    bool required;
    const char *help;
} nbdbox_setting;

typedef struct {
    const char *name;
    nbdbox_access access;
    const char *help;
} nbdbox_need;

/* Both lists end with an entry of zeroes. */
typedef struct {
    const char *name, *version, *summary;
    nbdbox_setting settings[17];
    nbdbox_need blobs[17];
} nbdbox_manifest;

typedef struct {
    uint64_t size;
    const char *description; /* NULL: none. The kit copies it */
    bool parallel;           /* any instance can serve any call */
    bool read_only;
    bool immutable; /* the contents never change */
} nbdbox_device;

#ifdef __cplusplus
extern "C" {
#endif
extern const nbdbox_manifest plugin_manifest;
/* The kit sets `*device` to zeroes before the call. */
nbdbox_result plugin_open(const char *name, size_t name_length, nbdbox_device *device);
nbdbox_result plugin_read(nbdbox_reply reply, uint64_t offset, uint32_t length);
nbdbox_result plugin_extents(nbdbox_extents extents, uint64_t offset, uint64_t length, bool one);
#ifdef NBDBOX_READ_WRITE_WORLD
nbdbox_result plugin_write(nbdbox_payload payload, uint64_t offset, unsigned flags);
nbdbox_result plugin_flush(void);
nbdbox_result plugin_trim(uint64_t offset, uint64_t length, unsigned flags);
nbdbox_result plugin_zero(uint64_t offset, uint64_t length, unsigned flags);
#endif
#ifdef __cplusplus
}
#endif

/* ---- What the plugin calls ---- */

static inline plugin_string_t nbdbox_text(const char *text) {
    plugin_string_t string = {(uint8_t *)text, strlen(text)};
    return string;
}

/* Sets the text that goes with an error; the client sees it. `return nbdbox_fail(NBDBOX_EINVAL, "why");` */
static inline nbdbox_result nbdbox_fail(nbdbox_result result, const char *why) {
    plugin_string_t text = nbdbox_text(why);
    nbdbox_plugin_host_explain(&text);
    return result;
}

static inline void nbdbox_log(const char *line) {
    plugin_string_t text = nbdbox_text(line);
    nbdbox_plugin_host_log(NBDBOX_PLUGIN_HOST_LEVEL_INFO, &text);
}

/* Reads a setting of kind size, or its default in the manifest. Returns false if it has no value, or the
 * value is not a size. */
static inline bool nbdbox_setting_size(const char *key, uint64_t *value) {
    plugin_string_t text = nbdbox_text(key), error;
    plugin_option_u64_t found;
    if (!nbdbox_plugin_config_get_size(&text, &found, &error)) {
        plugin_string_free(&error);
        return false;
    }
    if (found.is_some) *value = found.val;
    return found.is_some;
}

/* Returns a setting's text, or its default; NULL if it has neither. The caller frees it. */
static inline char *nbdbox_setting_text(const char *key) {
    plugin_string_t name = nbdbox_text(key), value;
    if (!nbdbox_plugin_config_get(&name, &value)) return NULL;
    char *text = (char *)malloc(value.len + 1);
    if (text != NULL) {
        memcpy(text, value.ptr, value.len);
        text[value.len] = 0;
    }
    plugin_string_free(&value);
    return text;
}

static inline nbdbox_result nbdbox_blob_open(const char *name, nbdbox_blob *blob) {
    plugin_string_t text = nbdbox_text(name);
    nbdbox_plugin_types_errno_t error;
    if (nbdbox_plugin_blobs_static_blob_open(&text, blob, &error)) return NBDBOX_OK;
    return (nbdbox_result)(error + 1);
}

static inline nbdbox_result nbdbox_blob_size(nbdbox_blob blob, uint64_t *size) {
    nbdbox_plugin_types_errno_t error;
    if (nbdbox_plugin_blobs_method_blob_size(nbdbox_plugin_blobs_borrow_blob(blob), size, &error))
        return NBDBOX_OK;
    return (nbdbox_result)(error + 1);
}

/* Reads exactly `length` bytes, at most 1 MiB. */
static inline nbdbox_result nbdbox_blob_read(nbdbox_blob blob, uint64_t offset, void *bytes,
                                             uint32_t length) {
    nbdbox_plugin_types_errno_t error;
    plugin_list_u8_t list;
    if (!nbdbox_plugin_blobs_method_blob_read(nbdbox_plugin_blobs_borrow_blob(blob), offset, length,
                                              &list, &error))
        return (nbdbox_result)(error + 1);
    memcpy(bytes, list.ptr, list.len);
    plugin_list_u8_free(&list);
    return NBDBOX_OK;
}

static inline void nbdbox_reply_data(nbdbox_reply reply, const void *bytes, size_t length) {
    plugin_list_u8_t list = {(uint8_t *)bytes, length};
    nbdbox_plugin_requests_method_read_reply_data(reply, &list);
}

static inline void nbdbox_reply_zeroes(nbdbox_reply reply, uint64_t length) {
    nbdbox_plugin_requests_method_read_reply_zeroes(reply, length);
}

/* Appends a range of a blob by reference: the host moves the bytes, which never enter the sandbox. */
static inline void nbdbox_reply_blob(nbdbox_reply reply, nbdbox_blob blob, uint64_t offset,
                                     uint64_t length) {
    nbdbox_plugin_requests_method_read_reply_blob(reply, nbdbox_plugin_blobs_borrow_blob(blob), offset,
                                                  length);
}

/* Stores `length` bytes of a write, from position `start`, in a blob, by reference. */
static inline void nbdbox_payload_store(nbdbox_payload payload, nbdbox_blob blob, uint64_t offset,
                                        uint32_t start, uint32_t length) {
    nbdbox_plugin_requests_method_write_payload_store(payload, nbdbox_plugin_blobs_borrow_blob(blob),
                                                      offset, start, length);
}

static inline uint32_t nbdbox_payload_length(nbdbox_payload payload) {
    return nbdbox_plugin_requests_method_write_payload_length(payload);
}

/* Copies `length` bytes of a write, from position `start`, to `bytes`. */
static inline void nbdbox_payload_read(nbdbox_payload payload, uint32_t start, void *bytes,
                                       uint32_t length) {
    plugin_list_u8_t list;
    nbdbox_plugin_requests_method_write_payload_read(payload, start, length, &list);
    memcpy(bytes, list.ptr, list.len);
    plugin_list_u8_free(&list);
}

/* Sets `*full` (`full` may be NULL) when the host has no use for more extents. */
static inline nbdbox_result nbdbox_extents_add(nbdbox_extents extents, uint64_t offset,
                                               uint64_t length, nbdbox_kind kind, bool *full) {
    nbdbox_plugin_types_errno_t error;
    nbdbox_plugin_types_progress_t progress;
    if (!nbdbox_plugin_requests_method_extents_add(extents, offset, length,
                                                   (nbdbox_plugin_types_extent_kind_t)kind, &progress,
                                                   &error))
        return (nbdbox_result)(error + 1);
    if (full != NULL) *full = progress == NBDBOX_PLUGIN_TYPES_PROGRESS_FULL;
    return NBDBOX_OK;
}

/* Adds the holes and data that the file system reports for `length` bytes at `offset` of a blob, at
 * `position` of the export. */
static inline nbdbox_result nbdbox_extents_blob(nbdbox_extents extents, nbdbox_blob blob,
                                                uint64_t offset, uint64_t length,
                                                uint64_t position) {
    nbdbox_plugin_types_errno_t error;
    nbdbox_plugin_types_progress_t progress;
    if (nbdbox_plugin_requests_method_extents_blob(extents, nbdbox_plugin_blobs_borrow_blob(blob),
                                                   offset, length, position, &progress, &error))
        return NBDBOX_OK;
    return (nbdbox_result)(error + 1);
}

/* ---- Between the two: the component's exports ---- */

#ifndef NBDBOX_DECLARATIONS /* for other languages that read this header */

static inline void *nbdbox_memory(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (memory == NULL) abort(); /* the host logs it */
    return memory;
}

void exports_nbdbox_plugin_manifest_describe(exports_nbdbox_plugin_manifest_plugin_info_t *info) {
    const nbdbox_manifest *from = &plugin_manifest;
    plugin_string_dup(&info->name, from->name);
    plugin_string_dup(&info->version, from->version);
    plugin_string_dup(&info->summary, from->summary);
    size_t count = 0, at;
    while (from->settings[count].key != NULL) count++;
    info->settings.len = count;
    info->settings.ptr = (exports_nbdbox_plugin_manifest_setting_t *)nbdbox_memory(
        count, sizeof *info->settings.ptr);
    for (at = 0; at < count; at++) {
        const nbdbox_setting *setting = &from->settings[at];
        exports_nbdbox_plugin_manifest_setting_t *to = &info->settings.ptr[at];
        plugin_string_dup(&to->key, setting->key);
        to->kind = (exports_nbdbox_plugin_manifest_value_kind_t)setting->kind;
        to->required = setting->required;
        to->default_.is_some = setting->fallback != NULL;
        if (setting->fallback != NULL) plugin_string_dup(&to->default_.val, setting->fallback);
        plugin_string_dup(&to->help, setting->help);
    }
    count = 0;
    while (from->blobs[count].name != NULL) count++;
    info->blobs.len = count;
    info->blobs.ptr = (exports_nbdbox_plugin_manifest_blob_need_t *)nbdbox_memory(
        count, sizeof *info->blobs.ptr);
    for (at = 0; at < count; at++) {
        plugin_string_dup(&info->blobs.ptr[at].name, from->blobs[at].name);
        info->blobs.ptr[at].access = (nbdbox_plugin_blobs_access_t)from->blobs[at].access;
        plugin_string_dup(&info->blobs.ptr[at].help, from->blobs[at].help);
    }
}

static inline bool nbdbox_outcome(nbdbox_result result, nbdbox_plugin_types_errno_t *error) {
    if (result != NBDBOX_OK) *error = (nbdbox_plugin_types_errno_t)(result - 1);
    return result == NBDBOX_OK;
}

bool exports_nbdbox_plugin_device_open(plugin_string_t *name,
                                       exports_nbdbox_plugin_device_device_info_t *info,
                                       exports_nbdbox_plugin_device_errno_t *error) {
    nbdbox_device device;
    memset(&device, 0, sizeof device);
    memset(info, 0, sizeof *info);
    nbdbox_result result = plugin_open((const char *)name->ptr, name->len, &device);
    plugin_string_free(name);
    info->size = device.size;
    info->description.is_some = device.description != NULL;
    if (device.description != NULL) plugin_string_dup(&info->description.val, device.description);
    info->mode = device.parallel ? EXPORTS_NBDBOX_PLUGIN_DEVICE_INSTANCE_MODE_PARALLEL
                                 : EXPORTS_NBDBOX_PLUGIN_DEVICE_INSTANCE_MODE_SINGLE;
    info->read_only = device.read_only;
    info->immutable = device.immutable;
    return nbdbox_outcome(result, error);
}

bool exports_nbdbox_plugin_device_read(nbdbox_reply reply, uint64_t offset, uint32_t length,
                                       exports_nbdbox_plugin_device_errno_t *error) {
    return nbdbox_outcome(plugin_read(reply, offset, length), error);
}

bool exports_nbdbox_plugin_sparse_report(nbdbox_extents extents, uint64_t offset, uint64_t length,
                                         bool one, exports_nbdbox_plugin_sparse_errno_t *error) {
    return nbdbox_outcome(plugin_extents(extents, offset, length, one), error);
}

#ifdef NBDBOX_READ_WRITE_WORLD
bool exports_nbdbox_plugin_writable_write(nbdbox_payload payload, uint64_t offset,
                                          nbdbox_plugin_types_write_flags_t flags,
                                          nbdbox_plugin_types_errno_t *error) {
    return nbdbox_outcome(plugin_write(payload, offset, flags), error);
}

bool exports_nbdbox_plugin_writable_flush(nbdbox_plugin_types_errno_t *error) {
    return nbdbox_outcome(plugin_flush(), error);
}

bool exports_nbdbox_plugin_zeroable_trim(uint64_t offset, uint64_t length,
                                         nbdbox_plugin_types_write_flags_t flags,
                                         nbdbox_plugin_types_errno_t *error) {
    return nbdbox_outcome(plugin_trim(offset, length, flags), error);
}

bool exports_nbdbox_plugin_zeroable_zero(uint64_t offset, uint64_t length,
                                         nbdbox_plugin_types_write_flags_t flags,
                                         nbdbox_plugin_types_errno_t *error) {
    return nbdbox_outcome(plugin_zero(offset, length, flags), error);
}
#endif

#endif /* NBDBOX_DECLARATIONS */

#endif /* NBDBOX_H */
