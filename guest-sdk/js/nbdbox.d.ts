// The kit: what a plugin is made with. What it imports and exports is in wit.d.ts.

import type { Errno, WriteFlags } from "nbdbox:plugin/types@0.1.0";
import type { DeviceInfo } from "nbdbox:plugin/device@0.1.0";
import type { PluginInfo } from "nbdbox:plugin/manifest@0.1.0";
import type { Extents, ReadReply, WritePayload } from "nbdbox:plugin/requests@0.1.0";

export type { BlobNeed, PluginInfo, Setting, ValueKind } from "nbdbox:plugin/manifest@0.1.0";
export type { BlockSizes, DeviceInfo } from "nbdbox:plugin/device@0.1.0";

/** One instance's block device. `extents` is a plugin's in the worlds read-only and read-write, the
 * last four only in read-write. */
export interface Disk {
  describe(): DeviceInfo;
  read(reply: ReadReply, offset: bigint, length: number): void;
  extents(extents: Extents, offset: bigint, length: bigint, one: boolean): void;
  write?(payload: WritePayload, offset: bigint, flags: WriteFlags): void;
  flush?(): void;
  trim?(offset: bigint, length: bigint, flags: WriteFlags): void;
  zero?(offset: bigint, length: bigint, flags: WriteFlags): void;
}
/** Fails the call: the client gets the errno, and the words. */
export class PluginError extends Error {
  constructor(text: string, errno?: Errno);
}
/** The interfaces to export, made of a manifest and of what opens an instance. */
export function plugin(info: PluginInfo, open: (name: string) => Disk): {
  manifest: typeof import("nbdbox:plugin/manifest@0.1.0");
  device: typeof import("nbdbox:plugin/device@0.1.0");
  sparse: typeof import("nbdbox:plugin/sparse@0.1.0");
  writable: typeof import("nbdbox:plugin/writable@0.1.0");
  zeroable: typeof import("nbdbox:plugin/zeroable@0.1.0");
};
