// Generated from wit/ (tests/tests/plugins/languages/js_types.rs): what plugins may import, and what they export,
// for TypeScript and for editors. Offsets and lengths are in bytes; u64 is bigint. What a call throws has an errno
// as its payload.

/**
 * What makes a component a filter: it exports this interface and `device`, and imports `next`.
 *
 * A filter stands between a client and another layer: the plugin, or a filter over that. It is an
 * instance of its own, with limits and grants of its own; it sees nothing of the layer below but
 * what `next` says, and the layer below doesn't know of it.
 */
declare module "nbdbox:plugin/filter@0.1.0" {
  /**
   * Whether what the layer below has can't stand for what is read through the filter, neither its
   * bytes nor its zeroes (as when it decrypts). Then the host passes nothing on by reference:
   * `redirect` and `forward` fail the request as the filter's fault, `fill` and `store` answer
   * `einval`, and what `report` and `list-extents` pass on is all `data`, since zeroes below aren't
   * zeroes above.
   *
   * A filter that changes bytes in `read` and `write`, passes on by reference only those that it
   * doesn't change, and has zeroes where the layer below has them (as one that turns the bytes of
   * words around), answers `false`: what it reports of zeroes is as true as what the layer below says.
   *
   * Called when the filter is loaded, after `describe` and in the same instance, which is thrown away.
   */
  export function changesBytes(): boolean;
}

/** What every plugin may ask of the host. Nothing here needs a grant. */
declare module "nbdbox:plugin/host@0.1.0" {
  export type Level =
    | "error"
    | "warn"
    | "info"
    | "debug";
  /**
   * Writes a line to the operator's log, tagged with export and plugin.
   *
   * Control characters are escaped; a line is cut at 4 KiB and lines are dropped (and counted)
   * beyond 16 KiB a second. A warning that another instance of the export has given in the same
   * words is written as `debug` the first time that this one gives it: what all instances find out
   * is said once. Never fails, but a text of many more than 1 MiB stops the guest.
   */
  export function log(level: Level, text: string): void;
  /**
   * Sets the text that goes with the errno which the current call is about to return.
   *
   * A client that negotiated structured replies sees it, cut at 4096 bytes; the last call wins.
   * Ignored when the call succeeds. Don't put secrets in it.
   */
  export function explain(text: string): void;
  /**
   * Milliseconds since some moment before the instance was made; never goes back. Coarse: whole
   * milliseconds.
   */
  export function monotonicMs(): bigint;
  /** Milliseconds since 1970-01-01T00:00:00Z, as coarse as `monotonic-ms`. */
  export function wallMs(): bigint;
}

/**
 * The export's settings: the `KEY=VALUE` words after the plugin's name on the command line.
 *
 * They don't change during an instance's life. Where the plugin exports `manifest`, the host has
 * checked keys and values against it before the first call.
 */
declare module "nbdbox:plugin/config@0.1.0" {
  /**
   * The value of `key`, if it was given. Without a value given and with a default in the
   * manifest: the default.
   */
  export function get(key: string): string | undefined;
  /**
   * The value of `key` as a number of bytes: a decimal number and an optional unit, `K M G T P E`
   * (powers of 1024; `KiB` and `k` are understood too), as in `64M` or `1.5GiB`.
   *
   * `none` when it was not given and has no default; an error with words to pass to `explain`
   * when it is not a size.
   * @throws {string} as the error's payload
   */
  export function getSize(key: string): bigint | undefined;
  /**
   * All keys that were given, in the operator's order, with their values; then those that weren't
   * and have a default in the manifest.
   */
  export function all(): Array<[string, string]>;
}

/** The vocabulary that host and plugins share. Every offset and length is in bytes. */
declare module "nbdbox:plugin/types@0.1.0" {
  /**
   * Why a request failed: exactly the errors that the NBD protocol can carry (section "Error
   * values" of its specification). Words for people go through `explain`, never in here.
   */
  export type Errno =
    /** The operation isn't allowed on this export. */
    | "eperm"
    /** The data could not be read or written. The right answer when in doubt. */
    | "eio"
    /** There isn't enough memory to do this now. */
    | "enomem"
    /** The request or the configuration makes no sense. */
    | "einval"
    /** There is no room left on the device. */
    | "enospc"
    /**
     * A value is too large for the answer's format. Clients get EINVAL for it where the protocol
     * doesn't allow it: it's for reads that mustn't be sent in pieces.
     */
    | "eoverflow"
    /**
     * Not supported; for a fast zero: it would not be faster than a write. After anything but a
     * fast zero clients get EINVAL for it.
     */
    | "enotsup"
    /** The export is being shut down. */
    | "eshutdown";
  /** What is known of a range of bytes (NBD's meta context `base:allocation`). */
  export type ExtentKind =
    /** Allocated, contents unknown. Always a safe answer. */
    | "data"
    /** Not allocated, and reads as zeroes (NBD: HOLE | ZERO). */
    | "hole"
    /** Allocated, and reads as zeroes (NBD: ZERO). */
    | "zero"
    /** Not allocated, and what it reads as is undefined (NBD: HOLE). */
    | "undefined";
  /** A range of one kind, `[offset, offset + length)` in bytes from the export's start. */
  export interface Extent {
    offset: bigint;
    length: bigint;
    kind: ExtentKind;
  }
  /** How a change is to be made. The host passes a flag only where NBD allows it. */
  export interface WriteFlags {
    /**
     * Forced unit access: on stable storage before the call returns. Bytes that the plugin
     * stores in a blob by reference are made stable by the host.
     */
    fua?: boolean;
    /** Zeroing only: allocate, don't punch a hole. */
    noHole?: boolean;
    /**
     * Zeroing only: fail with `enotsup`, quickly and having changed nothing, unless this is
     * faster than writing zero bytes.
     */
    fastZero?: boolean;
  }
  /** Whether it's worthwhile to go on reporting extents. */
  export type Progress =
    /** More extents are welcome. */
    | "more"
    /**
     * The reply is complete. Further adds are allowed, charged, and mostly dropped; a plugin
     * that walks upwards should stop.
     */
    | "full";
}

/**
 * Files that the operator granted by name. There is no other way to reach outside.
 *
 * A blob can be used in two ways. *By reference*, in `read-reply.blob`, `write-payload.store` and
 * `extents.blob`: the host moves the bytes, which never enter the sandbox. *Directly*, with the
 * methods below: for headers, tables and other metadata.
 *
 * The grant says what is allowed, each one including those before it: `map-only` references for
 * reads and extents (a plugin can serve what it cannot see) and `prefetch`, `ro` everything that
 * reads, `rw` everything. A method that isn't allowed answers `eperm`, except `flush`, which has
 * nothing to do; a `write-payload.store` that isn't allowed fails the write.
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
     * The blob that the operator granted under this name.
     *
     * `eperm` when there's no such grant. A plugin that says in its manifest what it needs is
     * not even opened without it. Call it when the instance opens and keep the handle: handles
     * are counted, 256 at most may be alive in one instance.
     * @throws {Errno} as the error's payload
     */
    static open(name: string): Blob;
    /** What the operator allowed. */
    access(): Access;
    /**
     * The size, in bytes, that the blob had when this instance's export was opened. It doesn't
     * change while the instance lives, whatever becomes of the file.
     * @throws {Errno} as the error's payload
     */
    size(): bigint;
    /**
     * Reads exactly `length` bytes at `offset`, 1 MiB at most, into the sandbox.
     *
     * `einval` past the blob's end or above 1 MiB; `eperm` for `map-only`; `eio` when the file
     * can't be read.
     * @throws {Errno} as the error's payload
     */
    read(offset: bigint, length: number): Uint8Array;
    /**
     * Writes bytes at `offset`; with `fua`, durably.
     *
     * `eperm` unless `rw`; `enospc` past the end of the blob (a blob never grows). As in every
     * call of the host, 1 MiB may be handed over, or as many bytes as the request moves if that
     * is more: a call with many more stops the guest.
     * @throws {Errno} as the error's payload
     */
    write(offset: bigint, bytes: Uint8Array, mode: WriteFlags): void;
    /**
     * Makes all that was written durable (fdatasync). Fails from the first failure on, for good,
     * since what was written before it may be lost: with `eio`, or the first time with `enospc`
     * if the disk was full. Does nothing for a blob that isn't `rw`.
     * @throws {Errno} as the error's payload
     */
    flush(): void;
    /**
     * Gives the range back to the file system where it can be; the range then reads as zeroes,
     * or as before (`fallocate`, punch hole). Only a hint, as NBD's TRIM is. `eperm` unless `rw`;
     * `einval` past the end.
     * @throws {Errno} as the error's payload
     */
    trim(offset: bigint, length: bigint, mode: WriteFlags): void;
    /**
     * Makes the range read as zeroes, by punching a hole, or with `no-hole` by zeroing in
     * place; in the end by writing zeroes, unless `fast-zero` (then `enotsup`). `eperm` unless
     * `rw`; `einval` past the end.
     * @throws {Errno} as the error's payload
     */
    zero(offset: bigint, length: bigint, mode: WriteFlags): void;
    /**
     * Asks the kernel to read the range ahead. `einval` past the end.
     * @throws {Errno} as the error's payload
     */
    prefetch(offset: bigint, length: bigint): void;
  }
}

/**
 * What the plugin is and needs: read by the host before anything else, and by `nbdbox inspect`.
 *
 * Optional. Without it the host can't check settings and grants before `open`, and a missing grant
 * shows only when `blob.open` fails.
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
  /** One `KEY=VALUE` setting. */
  export interface Setting {
    /**
     * `*` stands for all keys that aren't listed: the operator may give any, each with a value of this
     * kind, and the plugin finds them in `config.all`. Without such a setting another key is an error.
     */
    key: string;
    kind: ValueKind;
    /** The operator must give it. */
    required: boolean;
    default?: string;
    /** One line for `inspect` and for errors. */
    help: string;
  }
  /** A blob that the operator must grant. */
  export interface BlobNeed {
    name: string;
    access: Access;
    help: string;
  }
  export interface PluginInfo {
    /** The plugin's own name and version. */
    name: string;
    version: string;
    /** One line. */
    summary: string;
    settings: Array<Setting>;
    blobs: Array<BlobNeed>;
  }
  /**
   * Called when the plugin is loaded, in an instance that is thrown away: nothing is granted or
   * configured yet. At most 64 settings and 64 blobs, 64 KiB of text in all.
   */
  export function describe(): PluginInfo;
}

/**
 * Optional, with `writable`: NBD's TRIM, WRITE_ZEROES and fast zeroes. Without it a client writes
 * zero bytes itself.
 */
declare module "nbdbox:plugin/zeroable@0.1.0" {
  import type { Errno, WriteFlags } from "nbdbox:plugin/types@0.1.0";
  /**
   * The client doesn't need these bytes any more: a hint, which may do nothing. What the range
   * reads as afterwards is undefined. Flags: `fua`.
   * @throws {Errno} as the error's payload
   */
  export function trim(offset: bigint, length: bigint, mode: WriteFlags): void;
  /**
   * Makes the range read as zeroes. Flags: `fua`, `no-hole`, `fast-zero`.
   * @throws {Errno} as the error's payload
   */
  export function zero(offset: bigint, length: bigint, mode: WriteFlags): void;
}

/** Optional: NBD's CACHE. Without it the command isn't offered. */
declare module "nbdbox:plugin/prefetch@0.1.0" {
  import type { Errno } from "nbdbox:plugin/types@0.1.0";
  /**
   * The client will read this range soon. A hint; an error is passed on but breaks nothing.
   * @throws {Errno} as the error's payload
   */
  export function cache(offset: bigint, length: bigint): void;
}

/** Optional: one plugin, many exports. Without it there is one, under the operator's name. */
declare module "nbdbox:plugin/export-list@0.1.0" {
  import type { Errno } from "nbdbox:plugin/types@0.1.0";
  export interface ListedExport {
    /** At most 4096 bytes, no NUL. The empty name is the default export. */
    name: string;
    description?: string;
  }
  /**
   * The exports that can be opened now; at most 1024. Called for NBD_OPT_LIST and before a name
   * is opened: a client can't open what isn't listed.
   * @throws {Errno} as the error's payload
   */
  export function listExports(): Array<ListedExport>;
}

/** What the host lends to a device that tells where its bytes are; see `mappable`. */
declare module "nbdbox:plugin/mappings@0.1.0" {
  import type { Blob } from "nbdbox:plugin/blobs@0.1.0";
  import type { Progress } from "nbdbox:plugin/types@0.1.0";
  /**
   * Where bytes of the export are: told in pieces, upwards, from below the byte that was asked for
   * up to where the device's knowledge ends (as a format's does at the end of one of its tables).
   *
   * `position` counts from the export's start. A piece that begins below the end of the one before
   * it fails the call as the plugin's fault. What lies between two pieces counts as `computed`;
   * what is past the export is cut off. At most 16,384 pieces are kept, fewer under a small
   * limit `mapping`: the highest below the byte that was asked for, and those from there on.
   *
   * A handle is lent for one call, as those of `requests` are.
   */
  export class Mapping {
    private constructor();
    /** `length` bytes at `position` are zeroes. */
    zeroes(position: bigint, length: bigint): Progress;
    /**
     * `length` bytes at `position` are those at `offset` of a blob.
     *
     * A range outside the blob fails the call, as the plugin's fault.
     */
    blob(position: bigint, length: bigint, source: Blob, offset: bigint): Progress;
    /**
     * `length` bytes at `position` are nowhere as they are (a format compresses them, say):
     * `read` is called for them each time.
     */
    computed(position: bigint, length: bigint): Progress;
  }
}

/**
 * Optional, for a device whose contents never change (`immutable`): where its bytes are, so that the
 * host remembers it and serves reads without asking again. Ignored for an export that is writable or
 * not immutable, or without room to remember (limit `mapping`).
 */
declare module "nbdbox:plugin/mappable@0.1.0" {
  import type { Mapping } from "nbdbox:plugin/mappings@0.1.0";
  import type { Errno } from "nbdbox:plugin/types@0.1.0";
  /**
   * Tells where the byte at `offset` is, and those around it, before and after, as far as one of the
   * device's tables says: a client wants `length` bytes from `offset` on, the host will likely be
   * asked for more. What is told must be what `read` would answer with. The range is inside the
   * export and not empty, and it need not be on whole blocks.
   *
   * An error, or a mapping without the byte at `offset`, breaks nothing: `read` is called, and the
   * host asks less often. A trap or a limit fails the request, and the host asks no more.
   * @throws {Errno} as the error's payload
   */
  export function locate(mapping: Mapping, offset: bigint, length: bigint): void;
}

/**
 * The three things that a request lends to the plugin while it runs. All are bounded to the
 * request and metered: no sequence of calls makes the host allocate more than the request's own
 * size. A handle is lent for one call; a guest that keeps it is stopped when the call returns.
 */
declare module "nbdbox:plugin/requests@0.1.0" {
  import type { Blob } from "nbdbox:plugin/blobs@0.1.0";
  import type { Errno, Extent, ExtentKind, Progress } from "nbdbox:plugin/types@0.1.0";
  /**
   * The answer to a read, filled from its first byte to its last, in pieces.
   *
   * When `read` returns success the pieces must add up to the requested length exactly. Too few
   * or too many bytes, or more than 4096 pieces, fail the request with `eio`, are logged as the
   * plugin's fault and counted: stale or foreign bytes are never sent.
   */
  export class ReadReply {
    private constructor();
    /** The next bytes. Copied once, straight into the reply. */
    data(bytes: Uint8Array): void;
    /**
     * The next `length` bytes are zeroes. Costs no memory; a client that negotiated structured
     * replies gets a hole.
     */
    zeroes(length: bigint): void;
    /**
     * The next `length` bytes are those at `offset` of a blob. The host moves them after the
     * call has returned, so the instance is free meanwhile.
     *
     * A range outside the blob fails the request with `eio`, as the plugin's fault.
     */
    blob(source: Blob, offset: bigint, length: bigint): void;
  }
  /** The bytes of a write. */
  export class WritePayload {
    private constructor();
    /** How many bytes the client sent; 1 or more. */
    length(): number;
    /**
     * Copies `length` bytes from position `start` of the payload into the sandbox. A range
     * outside the payload stops the guest.
     */
    read(start: number, length: number): Uint8Array;
    /**
     * Stores `length` bytes from position `start` of the payload at `offset` of a blob. The
     * host moves them after the call has returned with success, in the order of these calls,
     * and makes them durable when the write has `fua`.
     *
     * A range outside the blob or the payload, or a blob that isn't `rw`, fails the request,
     * as the plugin's fault. At most 4096 of them.
     */
    store(target: Blob, offset: bigint, start: number, length: number): void;
  }
  /**
   * The map that answers one question about extents, for `[start, end)` of the export.
   *
   * It begins as one `data` extent, which is always a safe answer, and always covers its range.
   * Adds may come in any order; where they overlap the last one wins; parts outside the range are
   * cut off. Ascending adds are the cheapest. Each call is charged as an add, useful or not: after
   * 4 × n + 64 of them the guest is stopped. There, n is how many extents are kept: the least of
   * 16,384 (limit `extents`), the blocks of the question, and what a filter above asks for.
   */
  export class Extents {
    private constructor();
    /**
     * Adds one extent. `einval` when `offset + length` is past 2^64.
     * @throws {Errno} as the error's payload
     */
    add(offset: bigint, length: bigint, kind: ExtentKind): Progress;
    /**
     * Adds many in one call, in the list's order; stops early when the map is full. Each one
     * is charged as an add.
     * @throws {Errno} as the error's payload
     */
    addAll(extents: Array<Extent>): Progress;
    /**
     * Adds what the file system knows of `length` bytes at `offset` of a blob, as the extents
     * at `position` of the export (SEEK_HOLE and SEEK_DATA). Allowed for `map-only`.
     * @throws {Errno} as the error's payload
     */
    blob(source: Blob, offset: bigint, length: bigint, position: bigint): Progress;
    /**
     * Says that nothing is known from `offset` on: the reply ends there, and the client asks
     * again (as a format does at the end of one of its tables). With nothing known at all the
     * reply is `data` for the whole request.
     */
    endAt(offset: bigint): void;
  }
}

/** A block device: the one interface that every plugin exports. */
declare module "nbdbox:plugin/device@0.1.0" {
  import type { ReadReply } from "nbdbox:plugin/requests@0.1.0";
  import type { Errno } from "nbdbox:plugin/types@0.1.0";
  /** How many instances the host may make of an export. */
  export type InstanceMode =
    /**
     * One instance for the export; calls queue and never overlap. Guest memory may hold the
     * data. When such an instance is lost a writable export fails for good.
     */
    | "single"
    /**
     * A pool of instances, whose calls overlap (in each instance they don't). Nothing that
     * matters may be kept in guest memory: any call may meet a fresh instance.
     */
    | "parallel";
  /**
   * NBD's size constraints: minimum a power of two, 1 ≤ minimum ≤ 65,536; preferred a power of two,
   * preferred ≥ max(minimum, 512); maximum a multiple of minimum and ≥ preferred, and above 32 MiB
   * the same as 32 MiB. The host refuses requests that break them.
   */
  export interface BlockSizes {
    minimum: number;
    preferred: number;
    maximum: number;
  }
  export interface DeviceInfo {
    /** In bytes, at most 2^63 - 1. The rest of a last block that isn't whole can't be reached. */
    size: bigint;
    /** Without: 1, 4096, 32 MiB. */
    blockSizes?: BlockSizes;
    /** For NBD_INFO_DESCRIPTION; at most 4096 bytes. */
    description?: string;
    mode: InstanceMode;
    /**
     * This export can't be written although the plugin exports `writable`: for example because
     * its blob was granted `ro`.
     */
    readOnly: boolean;
    /** The contents never change: the host may remember extents. */
    immutable: boolean;
  }
  /**
   * Called once in each instance that serves an export, before any other call.
   *
   * `name` is the export's; a plugin without `export-list` can ignore it. Every instance of an
   * export must answer the same: one that differs in anything but the description is thrown
   * away. (The description is the first instance's.) An error of the first instance keeps the export
   * from being served; of a later one, it fails the request for which that was made. Limit: 1 s of CPU.
   * @throws {Errno} as the error's payload
   */
  export function open(name: string): DeviceInfo;
  /**
   * Reads `length` bytes at `offset` by filling the reply. 1 ≤ `length`, and `offset + length` ≤
   * size: the host has checked. Limit: 100 ms of CPU, as for all calls below, and as much again for
   * each further 4 MiB of a read or write.
   * @throws {Errno} as the error's payload
   */
  export function read(reply: ReadReply, offset: bigint, length: number): void;
}

/**
 * Optional: the export can be written. Without it the export is read-only and a request that would
 * change it answers EPERM before anything runs. Brings NBD's SEND_FLUSH and SEND_FUA.
 */
declare module "nbdbox:plugin/writable@0.1.0" {
  import type { WritePayload } from "nbdbox:plugin/requests@0.1.0";
  import type { Errno, WriteFlags } from "nbdbox:plugin/types@0.1.0";
  /**
   * Writes the payload at `offset`. The range is inside the export. Flags: `fua`.
   * @throws {Errno} as the error's payload
   */
  export function write(payload: WritePayload, offset: bigint, mode: WriteFlags): void;
  /**
   * Makes durable every change that was answered before this call began. Reaches every instance
   * that took one since its last flush.
   * @throws {Errno} as the error's payload
   */
  export function flush(): void;
}

/**
 * Optional: the device knows where its data is. Without it the export has no block status (clients
 * take everything for data), and a filter over it is told that everything is data.
 */
declare module "nbdbox:plugin/sparse@0.1.0" {
  import type { Extents } from "nbdbox:plugin/requests@0.1.0";
  import type { Errno } from "nbdbox:plugin/types@0.1.0";
  /**
   * Reports what is known of `[offset, offset + length)`; see `extents`. Favour speed over
   * precision: leaving out is always right.
   *
   * With `one` the client only wants the first extent; a plugin may ignore it, and `add` says
   * `full` as soon as that one is known. An error, a trap or a time-out here is answered with
   * `data` (unless the operator asked for errors), logged and counted: extents are an
   * optimisation.
   * @throws {Errno} as the error's payload
   */
  export function report(extents: Extents, offset: bigint, length: bigint, one: boolean): void;
}

/**
 * The layer below a filter.
 *
 * The host stands in between. What is asked of the layer below must lie inside its size, on its
 * blocks, and not be longer than its largest request; nothing is written to a layer that is
 * read-only. A plan that breaks this fails the request as the filter's fault; a call answers `einval`
 * or `eperm`. What the layer below gets wrong is logged and counted as its own; the filter gets the
 * errno.
 *
 * Use it *by reference* where bytes only go elsewhere: `redirect` and `forward` are carried out after
 * the call has returned, so that the instance is free meanwhile, `fill` and `store` at once; the bytes
 * never enter the filter's memory. `read` and `write` are for bytes that it must see.
 *
 * Of the functions that ask the layer below at once, 4096 may be called for one request. Time that
 * they take is the layer below's, not the filter's.
 */
declare module "nbdbox:plugin/next@0.1.0" {
  import type { ReadReply, WritePayload, Extents } from "nbdbox:plugin/requests@0.1.0";
  import type { Errno, Extent, Progress, WriteFlags } from "nbdbox:plugin/types@0.1.0";
  export interface LayerInfo {
    /** In bytes, a multiple of `minimum`. */
    size: bigint;
    /** Its block sizes. A filter that says nothing of its own has these too. */
    minimum: number;
    preferred: number;
    maximum: number;
    /** It can't be written: whatever changes it answers `eperm`. */
    readOnly: boolean;
    /** Its contents never change. */
    immutable: boolean;
    /** It trims and zeroes by itself. Where it doesn't, `trim` does nothing and `zero` writes zeroes. */
    zeroable: boolean;
    /** It knows where its data is. Where it doesn't, everything is `data`. */
    sparse: boolean;
    /** It reads ahead. Where it doesn't, `cache` does nothing. */
    prefetch: boolean;
  }
  /** What the layer below is. Doesn't change. */
  export function describe(): LayerInfo;
  /** The next `length` bytes of the reply are those at `offset` of the layer below. */
  export function redirect(reply: ReadReply, offset: bigint, length: bigint): void;
  /**
   * As `redirect`, at once: the filter sees whether it went well, and adds nothing to the reply if not.
   * @throws {Errno} as the error's payload
   */
  export function fill(reply: ReadReply, offset: bigint, length: number): void;
  /**
   * Reads exactly `length` bytes at `offset`, 1 MiB at most, into the sandbox.
   * @throws {Errno} as the error's payload
   */
  export function read(offset: bigint, length: number): Uint8Array;
  /**
   * Writes `length` bytes from position `start` of the payload at `offset` of the layer below; with
   * the write's own `fua`. In the order of these calls and of `write-payload.store`, 4096 together.
   */
  export function forward(payload: WritePayload, offset: bigint, start: number, length: number): void;
  /**
   * As `forward`, at once.
   * @throws {Errno} as the error's payload
   */
  export function store(payload: WritePayload, offset: bigint, start: number, length: number, mode: WriteFlags): void;
  /**
   * Writes bytes, 1 MiB at most, at `offset`.
   * @throws {Errno} as the error's payload
   */
  export function write(offset: bigint, bytes: Uint8Array, mode: WriteFlags): void;
  /**
   * Makes durable all that was written. A filter that passed changes on needn't call it: when the
   * filter's own `flush` has returned, the host flushes the layer below if that is still to be done.
   * @throws {Errno} as the error's payload
   */
  export function flush(): void;
  /**
   * The bytes aren't needed any more.
   * @throws {Errno} as the error's payload
   */
  export function trim(offset: bigint, length: bigint, mode: WriteFlags): void;
  /**
   * Makes the bytes read as zeroes.
   * @throws {Errno} as the error's payload
   */
  export function zero(offset: bigint, length: bigint, mode: WriteFlags): void;
  /**
   * Reads ahead.
   * @throws {Errno} as the error's payload
   */
  export function cache(offset: bigint, length: bigint): void;
  /**
   * Lets time pass before the layer below is asked again: 10 s at most. It's the filter's own time on
   * the clock: a pause that outlasts what is left of that ends the call. Counts as a question.
   */
  export function pause(milliseconds: number): void;
  /**
   * Reports what the layer below knows of `length` bytes at `offset`, as the extents at `position`:
   * the host cuts and shifts. A range that isn't on the layer's blocks is widened for the question.
   * Where the layer below knows only a part, the reply ends there, as with `extents.end-at`, and
   * this says `full`.
   * @throws {Errno} as the error's payload
   */
  export function report(extents: Extents, offset: bigint, length: bigint, position: bigint): Progress;
  /**
   * What the layer below knows of `length` bytes at `offset`, as a list: from `offset` on, without
   * gaps, `most` extents at most, ending early where no more is known.
   * @throws {Errno} as the error's payload
   */
  export function listExtents(offset: bigint, length: bigint, most: number): Array<Extent>;
}
