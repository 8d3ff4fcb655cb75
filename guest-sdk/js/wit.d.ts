// Generated from wit/ (tests/tests/plugins/languages/js_types.rs): what plugins may import, and what they export,
// for TypeScript and for editors. Offsets and lengths are in bytes; u64 is bigint. What a call throws has an errno
// as its payload.

/**
 * Makes a component a filter: it exports this interface and `device`, and imports `next`.
 *
 * A filter stands between a client and the layer below: the plugin, or another filter. It runs in an
 * instance of its own, with limits and grants of its own. It reaches the layer below only through
 * `next`; the layer below can't tell that it is there.
 */
declare module "nbdbox:plugin/filter@0.1.0" {
  /**
   * Returns whether the bytes or the zeroes of the layer below can't stand for what clients read
   * through the filter, for example because it decrypts.
   *
   * A filter returns `false` if it changes bytes in `read` and `write` alone, passes on by reference
   * only bytes that it doesn't change, and has zeroes where the layer below has them.
   *
   * If it returns `true`, nothing goes by reference: `redirect` and `forward` fail the request as the
   * filter's fault, and `fill` and `store` return `einval`. `report` and `list-extents` then report all
   * bytes as `data`, because zeroes below aren't zeroes above.
   *
   * The host calls it when it loads the filter, after `describe` and in the same instance, and then drops
   * the instance. There is no layer below yet: a call of `next` stops the guest. Limit: 1 s of CPU.
   */
  export function changesBytes(): boolean;
}

/** Functions of the host that every plugin may call. None of them needs a grant. */
declare module "nbdbox:plugin/host@0.1.0" {
  export type Level =
    | "error"
    | "warn"
    | "info"
    | "debug";
  /**
   * Writes one line to the operator's log, tagged with export and plugin.
   *
   * The host escapes control characters, cuts a line at 4 KiB, and drops and counts the lines beyond
   * 16 KiB a second (limit `log`). A warning that another instance of the export has given in the same
   * words becomes a debug line the first time that this instance gives it. Never fails and never blocks.
   * A text of far more than 1 MiB stops the guest.
   */
  export function log(level: Level, text: string): void;
  /**
   * Sets the text that goes with the errno that the current call is about to return.
   *
   * A client that negotiated structured replies gets the text, cut at 4096 bytes; other clients get
   * the errno alone. The last call wins. The host ignores the text when the current call succeeds.
   * Clients are strangers: put no secrets in it.
   */
  export function explain(text: string): void;
  /** Whole milliseconds since a fixed moment before `open`. Never goes back. */
  export function monotonicMs(): bigint;
  /** Whole milliseconds since 1970-01-01T00:00:00Z, by the host's clock. May jump when the operator sets it. */
  export function wallMs(): bigint;
}

/**
 * The export's settings: the `KEY=VALUE` words that the operator gives to the plugin.
 *
 * They don't change while an instance lives. If the plugin exports `manifest`, the host has checked
 * keys and values against it before `open`. No function here blocks.
 */
declare module "nbdbox:plugin/config@0.1.0" {
  /** The value of `key`: the operator's, or else the manifest's default, or else `none`. */
  export function get(key: string): string | undefined;
  /**
   * The value of `key` as a number of bytes: a decimal number and an optional unit, `K M G T P E`
   * (powers of 1024; `KiB` and `k` mean the same), as in `64M` or `1.5GiB`.
   *
   * `none` if the operator gave no value and the manifest has no default. If the value is not a size,
   * the error is a text to pass to `explain`.
   * @throws {string} as the error's payload
   */
  export function getSize(key: string): bigint | undefined;
  /**
   * All settings: first the keys that the operator gave, in the operator's order; then the manifest's
   * defaults for keys that the operator left out.
   */
  export function all(): Array<[string, string]>;
}

/** The types that host and plugins share. Every offset and every length is in bytes. */
declare module "nbdbox:plugin/types@0.1.0" {
  /**
   * Why a request failed. These are exactly the errors that the NBD protocol can carry (section
   * "Error values" of its specification). A text for people goes through `host.explain`.
   */
  export type Errno =
    /** This export denies the operation. */
    | "eperm"
    /** The data could not be read or written. When in doubt, return this one. */
    | "eio"
    /** There isn't enough memory to do this now. */
    | "enomem"
    /** The request or a setting is invalid. */
    | "einval"
    /** There is no room left on the device. */
    | "enospc"
    /**
     * The reply cannot be sent in the form that the client requires. The protocol allows it only
     * for a read that must not be split. In answer to anything else, the client gets EINVAL.
     */
    | "eoverflow"
    /**
     * Not supported. For a fast zero: it would not be faster than a write. In answer to anything
     * except a fast zero, the client gets EINVAL.
     */
    | "enotsup"
    /** The export is being shut down. */
    | "eshutdown";
  /** What a plugin knows about a range of bytes (NBD's meta context `base:allocation`). */
  export type ExtentKind =
    /** Allocated, or not known; contents not known. Always a safe answer. */
    | "data"
    /** Not allocated, and reads as zeroes (NBD: HOLE | ZERO). */
    | "hole"
    /** Allocated, and reads as zeroes (NBD: ZERO). */
    | "zero"
    /** Not allocated; reads return undefined bytes (NBD: HOLE). */
    | "undefined";
  /** A range of one kind: `[offset, offset + length)`, counted from the start of the export. */
  export interface Extent {
    offset: bigint;
    length: bigint;
    kind: ExtentKind;
  }
  /** How to make a change. The host passes a flag only to the calls that list it. */
  export interface WriteFlags {
    /**
     * Forced unit access: the change is durable before the call returns. The host itself makes the
     * bytes durable that the plugin stores in a blob by reference.
     */
    fua?: boolean;
    /** Zeroing only: keep or make the range allocated; don't punch a hole. */
    noHole?: boolean;
    /**
     * Zeroing only: unless zeroing is faster than writing zero bytes, fail with `enotsup` at once
     * and change nothing.
     */
    fastZero?: boolean;
  }
  /** Whether the host has a use for more extents. */
  export type Progress =
    /** More extents are welcome. */
    | "more"
    /**
     * The reply is complete. The host still accepts and charges further adds, and drops most of
     * them. A plugin that walks upwards should stop.
     */
    | "full";
}

/**
 * Files and block devices that the operator granted by name. A plugin can reach nothing else outside
 * the sandbox.
 *
 * A plugin uses a blob in two ways:
 *
 * - *By reference*, with `read-reply.blob`, `write-payload.store`, `extents.blob` and `mapping.blob`: the
 *   host moves the bytes, and they never enter the sandbox.
 * - *Directly*, with the methods below: for headers, tables and other metadata. `read`, `write`, `flush`,
 *   `trim` and `zero` may block on the disk; that time doesn't count against the call.
 *
 * The operator's grant decides what the plugin may do. Each grant includes those before it:
 *
 * - `map-only`: references in replies, extents and mappings; `size`, `access` and `prefetch`. The plugin
 *   serves bytes that it can't see.
 * - `ro`: also `read`.
 * - `rw`: everything.
 *
 * A denied method returns `eperm`, except `flush`, which then has nothing to do. A denied
 * `write-payload.store` fails the write.
 */
declare module "nbdbox:plugin/blobs@0.1.0" {
  import type { Errno, WriteFlags } from "nbdbox:plugin/types@0.1.0";
  export type Access =
    | "map-only"
    | "read-only"
    | "read-write";
  export class Blob {
    private constructor();
    /**
     * Returns the blob that the operator granted under this name. Doesn't block: the host has
     * opened the file already.
     *
     * `eperm` if the operator granted no blob of this name. If the plugin's manifest lists the blob,
     * the host has checked the grant before `open`. Call this in `device.open` and keep the handle:
     * the host stops an instance that holds more than 256 handles.
     * @throws {Errno} as the error's payload
     */
    static open(name: string): Blob;
    /** Returns what the operator granted. */
    access(): Access;
    /**
     * Returns the size in bytes that the blob had when the host opened this instance's export. It
     * doesn't change while the instance lives, even if the file grows or shrinks.
     * @throws {Errno} as the error's payload
     */
    size(): bigint;
    /**
     * Reads exactly `length` bytes at `offset` into the sandbox; at most 1 MiB.
     *
     * `eperm` if the grant is `map-only`; `einval` if the range ends past the end of the blob, or is
     * longer than 1 MiB; `eio` if the host can't read the file.
     * @throws {Errno} as the error's payload
     */
    read(offset: bigint, length: number): Uint8Array;
    /**
     * Writes bytes at `offset`. With `fua`, they are durable when it returns.
     *
     * `eperm` unless the grant is `rw`; `enospc` if the range ends past the end of the blob (a blob
     * never grows) or the disk is full; `eio` if the host can't write the file. One call takes 1 MiB,
     * or as many bytes as the request moves if that is more; a call with many more stops the guest.
     * @throws {Errno} as the error's payload
     */
    write(offset: bigint, bytes: Uint8Array, mode: WriteFlags): void;
    /**
     * Makes all earlier changes of the blob durable (fdatasync). Does nothing unless the grant is `rw`.
     *
     * `eio`, or `enospc` the first time if the disk is full. After one failure every later flush of
     * this blob fails, because the changes before the failure may be lost.
     * @throws {Errno} as the error's payload
     */
    flush(): void;
    /**
     * Gives the range back to the file system (`fallocate`, punch hole). A hint, like NBD's TRIM: a
     * file system that can't do this leaves the range as it is, and the call succeeds. Afterwards the
     * range reads as zeroes or as before. With `fua`, the change is durable when it returns.
     *
     * `eperm` unless the grant is `rw`; `einval` if the range ends past the end of the blob; `eio` if
     * the file system fails.
     * @throws {Errno} as the error's payload
     */
    trim(offset: bigint, length: bigint, mode: WriteFlags): void;
    /**
     * Makes the range read as zeroes. The host tries, in this order: to punch a hole (not with
     * `no-hole`), to zero in place, to write zero bytes (not with `fast-zero`). With `fua`, the change
     * is durable when it returns.
     *
     * `eperm` unless the grant is `rw`; `einval` if the range ends past the end of the blob; `enotsup`
     * for a `fast-zero` that would have to write zero bytes; `eio` or `enospc` if the disk fails.
     * @throws {Errno} as the error's payload
     */
    zero(offset: bigint, length: bigint, mode: WriteFlags): void;
    /**
     * Requests that the kernel read the range ahead. A hint, which doesn't block and works with any
     * grant. `einval` if the range ends past the end of the blob.
     * @throws {Errno} as the error's payload
     */
    prefetch(offset: bigint, length: bigint): void;
  }
}

/**
 * What the plugin is and what it needs. The host reads it before anything else; `nbdbox inspect`
 * prints it.
 *
 * Optional. Without it the host can't check settings and grants before `open`; a missing grant shows
 * only when `blob.open` fails.
 */
declare module "nbdbox:plugin/manifest@0.1.0" {
  import type { Access } from "nbdbox:plugin/blobs@0.1.0";
  export type ValueKind =
    /** Any text. */
    | "text"
    /** A number of bytes, as `config.get-size` reads it. */
    | "size"
    /** A decimal integer from 0 to 2^64 - 1. */
    | "number"
    /** `true`, `yes`, `on`, `1` or `false`, `no`, `off`, `0`. */
    | "boolean";
  /** One `KEY=VALUE` setting. The host rejects a key that the manifest doesn't list. */
  export interface Setting {
    /**
     * The key. `*` stands for all keys that the manifest doesn't list: the operator may give any, each
     * with a value of this kind, and the plugin finds them in `config.all`.
     */
    key: string;
    kind: ValueKind;
    /** The host doesn't open the export without a value from the operator. */
    required: boolean;
    /** The value if the operator gives none. */
    default?: string;
    /** One line for `nbdbox inspect` and for error messages. */
    help: string;
  }
  /** A blob that the operator must grant. */
  export interface BlobNeed {
    name: string;
    /** The least access that the plugin needs. */
    access: Access;
    /** One line for `nbdbox inspect` and for error messages. */
    help: string;
  }
  export interface PluginInfo {
    /** The plugin's name, for the log and for `nbdbox inspect`. */
    name: string;
    /** The plugin's version, in any form. */
    version: string;
    /** What the plugin does, in one line. */
    summary: string;
    settings: Array<Setting>;
    blobs: Array<BlobNeed>;
  }
  /**
   * Describes the plugin.
   *
   * The host calls it when it loads the plugin, in an instance of its own that it drops afterwards. That
   * instance has no grants and no settings. At most 64 settings, 64 blobs and 64 KiB of text in all;
   * the host doesn't load a plugin with more. Limit: 1 s of CPU.
   */
  export function describe(): PluginInfo;
}

/**
 * Optional, together with `writable`: NBD's TRIM, WRITE_ZEROES and fast zeroes. Without it the host
 * doesn't advertise them, and a client that needs zeroes writes them.
 */
declare module "nbdbox:plugin/zeroable@0.1.0" {
  import type { Errno, WriteFlags } from "nbdbox:plugin/types@0.1.0";
  /**
   * The client doesn't need these bytes any more. A hint: doing nothing is correct. Afterwards reads of
   * the range may return anything. Flags: `fua`.
   *
   * The host has checked that the range is inside the export, not empty and on whole blocks. It may be
   * as long as the export.
   * @throws {Errno} as the error's payload
   */
  export function trim(offset: bigint, length: bigint, mode: WriteFlags): void;
  /**
   * Makes the range read as zeroes. Flags: `fua`, `no-hole`, `fast-zero`.
   *
   * The host has checked the range as for `trim`; it may be as long as the export. With `fast-zero`,
   * return `enotsup` at once, and change nothing, unless this is faster than writing.
   * @throws {Errno} as the error's payload
   */
  export function zero(offset: bigint, length: bigint, mode: WriteFlags): void;
}

/** Optional: NBD's CACHE. Without it the host doesn't advertise the command. */
declare module "nbdbox:plugin/prefetch@0.1.0" {
  import type { Errno } from "nbdbox:plugin/types@0.1.0";
  /**
   * The client will read this range soon. A hint: doing nothing is correct.
   *
   * The host has checked that the range is inside the export, not empty and on whole blocks. It may be
   * as long as the export. The host passes an error on to the client; the instance lives on.
   * @throws {Errno} as the error's payload
   */
  export function cache(offset: bigint, length: bigint): void;
}

/** Optional: one plugin, many exports. Without it there is one export, named by the operator. */
declare module "nbdbox:plugin/export-list@0.1.0" {
  import type { Errno } from "nbdbox:plugin/types@0.1.0";
  export interface ListedExport {
    /** At most 4096 bytes, no NUL. The empty name is the default export. */
    name: string;
    description?: string;
  }
  /**
   * Lists the exports that clients can open now.
   *
   * The host calls it once when it starts to serve the plugin, for each NBD_OPT_LIST, and before it
   * opens a name: a client can open only a listed name. It calls an instance in which `open` was not
   * called, and drops it afterwards. Settings and grants are in place.
   *
   * The host takes the first 1024 exports, and leaves out names that are too long or hold a NUL. After
   * an error, the client can neither list nor open. Limit: 100 ms of CPU.
   * @throws {Errno} as the error's payload
   */
  export function listExports(): Array<ListedExport>;
}

/** What the host lends to `mappable.locate`. */
declare module "nbdbox:plugin/mappings@0.1.0" {
  import type { Blob } from "nbdbox:plugin/blobs@0.1.0";
  import type { Progress } from "nbdbox:plugin/types@0.1.0";
  /**
   * Where the bytes of the export are: a list of pieces, in ascending order. It may begin below the
   * `offset` of the call, and ends where the plugin's knowledge ends (say, at the end of one of
   * the format's tables).
   *
   * `position` counts from the start of the export. A piece that begins below the end of the piece
   * before it fails the call as the plugin's fault. The host takes gaps between pieces for `computed`
   * and cuts off everything past the end of the export.
   *
   * The host keeps at most 16,384 pieces, fewer under a small limit `mapping`. When there are more, it
   * drops the lowest first, up to the `offset` of the call; then it returns `full` and drops the
   * rest. No method blocks.
   *
   * The host lends the handle for one call, as with the handles of `requests`.
   */
  export class Mapping {
    private constructor();
    /** `length` bytes at `position` of the export are zeroes. */
    zeroes(position: bigint, length: bigint): Progress;
    /**
     * `length` bytes at `position` of the export are those at `offset` of a blob. Any grant is
     * enough, `map-only` too.
     *
     * A range outside the blob fails the call as the plugin's fault.
     */
    blob(position: bigint, length: bigint, source: Blob, offset: bigint): Progress;
    /**
     * `length` bytes at `position` of the export are stored nowhere as they are (say, the format
     * compresses them). The host calls `read` for them each time.
     */
    computed(position: bigint, length: bigint): Progress;
  }
}

/**
 * Optional, for a device whose contents never change (`immutable`): where its bytes are. The host
 * remembers the answers, and serves reads from them without calling the plugin.
 *
 * The host ignores this interface if the export can be written or isn't immutable, or if the limit
 * `mapping` leaves no room.
 */
declare module "nbdbox:plugin/mappable@0.1.0" {
  import type { Mapping } from "nbdbox:plugin/mappings@0.1.0";
  import type { Errno } from "nbdbox:plugin/types@0.1.0";
  /**
   * Reports where the byte at `offset` is, and the bytes around it, before and after, as far as one of
   * the device's tables reaches. A client is reading `length` bytes from `offset` on; it will likely
   * read more. Each piece must lead to the bytes that `read` would return.
   *
   * The host has checked that the range is inside the export and not empty. It need not be on whole
   * blocks. May block on a blob.
   *
   * After an error, or a mapping without the byte at `offset`, the host calls `read` instead, and calls
   * `locate` less often. After a trap or a limit, the host fails the request, and never calls `locate`
   * again.
   * @throws {Errno} as the error's payload
   */
  export function locate(mapping: Mapping, offset: bigint, length: bigint): void;
}

/**
 * The three resources that the host lends to a call: the reply of a read, the payload of a write, the
 * extents of a report. The host meters their use: no sequence of calls makes it allocate more than the
 * request's own size.
 *
 * The host lends a handle for one call. It stops a guest that keeps one beyond the call.
 */
declare module "nbdbox:plugin/requests@0.1.0" {
  import type { Blob } from "nbdbox:plugin/blobs@0.1.0";
  import type { Errno, Extent, ExtentKind, Progress } from "nbdbox:plugin/types@0.1.0";
  /**
   * The reply to a read. The plugin fills it in pieces, from the first byte to the last.
   *
   * When `read` returns success, the pieces must add up to exactly the requested length. With too few
   * or too many bytes, or more than 4096 pieces, the host fails the request with `eio`, and logs and
   * counts it as the plugin's fault. The host never sends stale or foreign bytes. No method blocks.
   */
  export class ReadReply {
    private constructor();
    /**
     * Appends these bytes. The host copies them once, straight into the reply. 1 MiB in one call,
     * or as many bytes as the request reads if that is more; a call with many more stops the guest.
     */
    data(bytes: Uint8Array): void;
    /**
     * Appends `length` zero bytes. Costs no memory. A client that negotiated structured replies gets
     * a hole.
     */
    zeroes(length: bigint): void;
    /**
     * Appends `length` bytes from `offset` of a blob, by reference. The host moves them after the call
     * has returned, while the instance serves other calls. Any grant is enough, `map-only` too.
     *
     * A range outside the blob fails the request with `eio` as the plugin's fault.
     */
    blob(source: Blob, offset: bigint, length: bigint): void;
  }
  /** The bytes of a write. No method blocks. */
  export class WritePayload {
    private constructor();
    /** The number of bytes that the client sent; 1 or more. */
    length(): number;
    /**
     * Copies `length` bytes, from position `start` of the payload, into the sandbox. A range outside
     * the payload stops the guest.
     */
    read(start: number, length: number): Uint8Array;
    /**
     * Stores `length` bytes, from position `start` of the payload, at `offset` of a blob, by
     * reference. The host moves them after the call has returned success, in the order of these
     * calls. If the write has `fua`, the host also makes them durable.
     *
     * A range outside the blob or the payload, a blob that isn't granted `rw`, or more than 4096
     * pieces fail the request as the plugin's fault.
     */
    store(target: Blob, offset: bigint, start: number, length: number): void;
  }
  /**
   * The map that answers one block status request, for the range `[start, end)` of the export.
   *
   * At first the whole range is one `data` extent, which is always a safe answer. The plugin adds what
   * it knows, in any order; ascending adds are the cheapest. Where adds overlap, the last one wins. The
   * host cuts off parts outside the range.
   *
   * The host keeps at most n extents. n is the smallest of: 16,384 (limit `extents`), the number of
   * blocks in the range, and the number that a filter above requests. Past n, the host drops the highest
   * extents and the reply is shorter. Every call is charged as one add, useful or not, and `add-all`
   * as one add for each extent. After 4 × n + 64 adds the host stops the guest.
   */
  export class Extents {
    private constructor();
    /**
     * Adds one extent. `einval` when `offset + length` is past 2^64.
     * @throws {Errno} as the error's payload
     */
    add(offset: bigint, length: bigint, kind: ExtentKind): Progress;
    /**
     * Adds a list of extents in its order, and stops early when the map is full. Each extent is charged
     * as one add. `einval` as for `add`.
     * @throws {Errno} as the error's payload
     */
    addAll(extents: Array<Extent>): Progress;
    /**
     * Adds the holes and data that the file system reports (SEEK_HOLE and SEEK_DATA) for `length` bytes
     * at `offset` of a blob, as the extents at `position` of the export. Any grant is enough,
     * `map-only` too. May block on the disk.
     *
     * `einval` if the range ends past the end of the blob, or `position + length` is past 2^64; `eio`
     * if the host can't read the file.
     * @throws {Errno} as the error's payload
     */
    blob(source: Blob, offset: bigint, length: bigint, position: bigint): Progress;
    /**
     * Ends the reply at `offset`: the plugin reports nothing from there on (say, one of the format's
     * tables ends there), and the client sends its next request for the rest. If this leaves nothing
     * at all, the reply is `data` for the whole range.
     */
    endAt(offset: bigint): void;
  }
}

/** A block device. Every plugin exports this interface; all others are optional. */
declare module "nbdbox:plugin/device@0.1.0" {
  import type { ReadReply } from "nbdbox:plugin/requests@0.1.0";
  import type { Errno } from "nbdbox:plugin/types@0.1.0";
  /** How many instances the host may make for one export. */
  export type InstanceMode =
    /**
     * One instance; calls queue and never overlap. Guest memory may hold the data. If the host loses
     * the instance of a writable export, the export fails for good.
     */
    | "single"
    /**
     * A pool of instances. Calls to different instances overlap; calls to one instance don't. Any call
     * may go to a fresh instance, so guest memory must hold nothing that the plugin can't make again.
     */
    | "parallel";
  /** NBD's block size constraints, in bytes. The host rejects requests that break them. */
  export interface BlockSizes {
    /** Offsets and lengths are multiples of it. A power of two from 1 to 65,536. */
    minimum: number;
    /** Clients do best with requests of this size. A power of two, at least `minimum` and at least 512. */
    preferred: number;
    /**
     * The longest read or write. A multiple of `minimum`, at least `preferred`; above 32 MiB it counts
     * as 32 MiB.
     */
    maximum: number;
  }
  export interface DeviceInfo {
    /** In bytes, at most 2^63 - 1. The host rounds it down to a multiple of the minimum block size. */
    size: bigint;
    /** `none`: 1, 4096 and 32 MiB; for a filter, the block sizes of the layer below. */
    blockSizes?: BlockSizes;
    /** For NBD_INFO_DESCRIPTION; the host cuts it at 4096 bytes. */
    description?: string;
    mode: InstanceMode;
    /**
     * This export is read-only even if the plugin exports `writable`: for example, because the operator
     * granted its blob `ro`.
     */
    readOnly: boolean;
    /** The contents never change: the host may remember extents and mappings. */
    immutable: boolean;
  }
  /**
   * Prepares an instance to serve an export. The host calls it once in each instance, before any other
   * call. Read settings, open blobs and read tables here. It may block on a blob.
   *
   * `name` is the name of the export; a plugin without `export-list` can ignore it. If the plugin
   * exports `manifest`, the host has checked settings and grants against it.
   *
   * Every instance of an export must return the same record, except for the description, which the host
   * takes from the first instance. The host drops an instance that returns anything else, and fails the
   * request with `eio`. If the first instance returns an error, the host doesn't serve the export. If a
   * later instance does, the host fails the request that it was made for. Limit: 1 s of CPU.
   * @throws {Errno} as the error's payload
   */
  export function open(name: string): DeviceInfo;
  /**
   * Reads `length` bytes at `offset`: fills the reply with exactly that many bytes, in pieces.
   *
   * The host has checked the range: inside the export, not empty, on whole blocks, and no longer than
   * the maximum block size. May block on a blob. An error discards the contents of the reply;
   * when in doubt, return `eio`. Limit: 100 ms of CPU for each 4 MiB that the request begins. The same limit
   * holds for all functions below.
   * @throws {Errno} as the error's payload
   */
  export function read(reply: ReadReply, offset: bigint, length: number): void;
}

/**
 * Optional: clients can write to the export. The host then advertises SEND_FLUSH and SEND_FUA.
 *
 * Without it the export is read-only: the host answers a request that would change it with EPERM, and
 * calls nothing. If `open` returned `read-only`, the host calls none of these functions either.
 */
declare module "nbdbox:plugin/writable@0.1.0" {
  import type { WritePayload } from "nbdbox:plugin/requests@0.1.0";
  import type { Errno, WriteFlags } from "nbdbox:plugin/types@0.1.0";
  /**
   * Writes the payload at `offset`. Flags: `fua`.
   *
   * The host has checked the range as for `read`. May block on a blob. Return `enospc` if there is no
   * room. On an error, the range may hold old bytes, new bytes, or a mixture.
   * @throws {Errno} as the error's payload
   */
  export function write(payload: WritePayload, offset: bigint, mode: WriteFlags): void;
  /**
   * Makes every change durable that was answered before this call began. May block on a blob.
   *
   * The host calls it when a client sends FLUSH, when a client leaves with changes that no flush has made
   * durable yet, and when the server ends. It calls every instance that took a change since its last
   * flush; if there is none, it calls one instance. Afterwards the host itself flushes every granted
   * blob with changes that aren't durable yet. On an error, each connected client gets an error once,
   * at its next FLUSH or write with FUA.
   * @throws {Errno} as the error's payload
   */
  export function flush(): void;
}

/**
 * Optional: the plugin reports where its data and holes are. Without it the host reports all bytes as
 * `data`, to clients and to a filter above.
 */
declare module "nbdbox:plugin/sparse@0.1.0" {
  import type { Extents } from "nbdbox:plugin/requests@0.1.0";
  import type { Errno } from "nbdbox:plugin/types@0.1.0";
  /**
   * Reports what the plugin knows about `[offset, offset + length)`: see `extents`. Favour speed over
   * precision: the host takes the rest of the range for `data`, which is always correct.
   *
   * The host has checked that the range is inside the export, not empty and on whole blocks. It may be
   * as long as the export. May block on a blob.
   *
   * `one` is NBD's REQ_ONE: the client wants only the first extent. A plugin may ignore it, because `add`
   * returns `full` as soon as the first extent is complete.
   *
   * After an error, a trap or a limit here, the client gets `data` for the whole range, unless the
   * operator chose `--extents-on-error error`. The host logs and counts the failure.
   * @throws {Errno} as the error's payload
   */
  export function report(extents: Extents, offset: bigint, length: bigint, one: boolean): void;
}

/**
 * The layer below a filter.
 *
 * The host checks every request to the layer below. A range must be inside the layer and on whole blocks
 * of it. A read or write must be no longer than its maximum block size. A change needs a layer that isn't
 * read-only. For a request that breaks a rule, `redirect` and `forward` fail the client's request as the
 * filter's fault; the other functions return `einval`, or `eperm` for a change of a read-only layer.
 *
 * If the layer below fails, the filter gets the errno. The host logs and counts the failure as that
 * layer's, and keeps its text for `explain`.
 *
 * Three ways to move bytes:
 *
 * - *By reference, deferred*: `redirect` and `forward`. The host carries them out after the call has
 *   returned, while the instance serves other calls.
 * - *By reference, at once*: `fill` and `store`. The filter gets the outcome.
 * - *Through the sandbox*: `read` and `write`, for bytes that the filter must see.
 *
 * All functions except `describe`, `redirect` and `forward` block until the layer below has answered. One
 * call of the filter may make 4096 of them; one more stops the guest. The time that the layer below
 * takes doesn't count against the filter's limits.
 */
declare module "nbdbox:plugin/next@0.1.0" {
  import type { ReadReply, WritePayload, Extents } from "nbdbox:plugin/requests@0.1.0";
  import type { Errno, Extent, Progress, WriteFlags } from "nbdbox:plugin/types@0.1.0";
  export interface LayerInfo {
    /** In bytes, a multiple of `minimum`. */
    size: bigint;
    /** Its block sizes. A filter whose `open` returns no block sizes gets these. */
    minimum: number;
    preferred: number;
    maximum: number;
    /** It can't be written: every change returns `eperm`. */
    readOnly: boolean;
    /** Its contents never change. */
    immutable: boolean;
    /** It can trim and zero. If it can't, `trim` does nothing, and `zero` writes zero bytes. */
    zeroable: boolean;
    /** It reports extents. If it doesn't, all bytes are `data`. */
    sparse: boolean;
    /** It can read ahead. If it can't, `cache` does nothing. */
    prefetch: boolean;
  }
  /** Describes the layer below. The answer doesn't change while the instance lives. Doesn't block. */
  export function describe(): LayerInfo;
  /**
   * Appends `length` bytes from `offset` of the layer below to the reply, by reference. The host reads
   * them after the call has returned. If that fails, the client gets the error of the layer below.
   */
  export function redirect(reply: ReadReply, offset: bigint, length: bigint): void;
  /**
   * Like `redirect`, but at once: the filter gets the outcome. An error appends nothing to the reply.
   * `einval` also if `length` is more than the reply still lacks.
   * @throws {Errno} as the error's payload
   */
  export function fill(reply: ReadReply, offset: bigint, length: number): void;
  /**
   * Reads exactly `length` bytes at `offset` into the sandbox; at most 1 MiB.
   * @throws {Errno} as the error's payload
   */
  export function read(offset: bigint, length: number): Uint8Array;
  /**
   * Writes `length` bytes, from position `start` of the payload, at `offset` of the layer below, by
   * reference and with the request's own `fua`. The host writes them after the call has returned
   * success, in the order of these calls and of `write-payload.store`; at most 4096 of both together.
   */
  export function forward(payload: WritePayload, offset: bigint, start: number, length: number): void;
  /**
   * Like `forward`, but at once: the filter gets the outcome. Flags: `fua`.
   * @throws {Errno} as the error's payload
   */
  export function store(payload: WritePayload, offset: bigint, start: number, length: number, mode: WriteFlags): void;
  /**
   * Writes bytes at `offset`; at most 1 MiB. Flags: `fua`.
   * @throws {Errno} as the error's payload
   */
  export function write(offset: bigint, bytes: Uint8Array, mode: WriteFlags): void;
  /**
   * Makes all earlier changes of the layer below durable. A filter rarely needs it: after the filter's
   * own `flush` has returned, the host flushes the layer below, unless a flush has covered all changes.
   * Does nothing for a read-only layer.
   * @throws {Errno} as the error's payload
   */
  export function flush(): void;
  /**
   * Trims the range. A hint. Flags: `fua`.
   * @throws {Errno} as the error's payload
   */
  export function trim(offset: bigint, length: bigint, mode: WriteFlags): void;
  /**
   * Makes the range read as zeroes. Flags: `fua`, `no-hole`, `fast-zero`. `enotsup` for a `fast-zero`
   * that the layer below can't do faster than a write.
   * @throws {Errno} as the error's payload
   */
  export function zero(offset: bigint, length: bigint, mode: WriteFlags): void;
  /**
   * Lets the layer below read the range ahead. A hint.
   * @throws {Errno} as the error's payload
   */
  export function cache(offset: bigint, length: bigint): void;
  /**
   * Waits, at most 10 s, before the filter tries the layer below again. The wait counts against the
   * limit `wall` of the filter's call: when that is used up, the host stops the call. It is one of the
   * 4096 calls.
   */
  export function pause(milliseconds: number): void;
  /**
   * Adds the extents of the layer below, for `length` bytes at `offset`, to the report as the extents at
   * `position`. The host cuts and shifts them. The range need not be on whole blocks: the host widens
   * the request. If the layer below reports only a part of the range, the reply ends there, as with
   * `extents.end-at`, and this returns `full`.
   * @throws {Errno} as the error's payload
   */
  export function report(extents: Extents, offset: bigint, length: bigint, position: bigint): Progress;
  /**
   * Returns the extents of the layer below for `length` bytes at `offset`, as a list: at most `most`
   * extents, from `offset` on and without gaps. The list may end early; then request the rest.
   * @throws {Errno} as the error's payload
   */
  export function listExtents(offset: bigint, length: bigint, most: number): Array<Extent>;
}
