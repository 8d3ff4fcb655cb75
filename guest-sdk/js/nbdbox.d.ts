// The types of the kit. wit.d.ts has the types of the interfaces that a plugin imports and exports.

import type { Errno, WriteFlags } from "nbdbox:plugin/types@0.1.0";
import type { DeviceInfo } from "nbdbox:plugin/device@0.1.0";
import type { PluginInfo } from "nbdbox:plugin/manifest@0.1.0";
import type { Extents, ReadReply, WritePayload } from "nbdbox:plugin/requests@0.1.0";

export type { BlobNeed, PluginInfo, Setting, ValueKind } from "nbdbox:plugin/manifest@0.1.0";
export type { BlockSizes, DeviceInfo } from "nbdbox:plugin/device@0.1.0";

/** One instance's block device. The worlds read-only and read-write require `extents`; read-write also
 * requires the last four methods. */
export interface Disk {
  describe(): DeviceInfo;
  read(reply: ReadReply, offset: bigint, length: number): void;
  extents(extents: Extents, offset: bigint, length: bigint, one: boolean): void;
  write?(payload: WritePayload, offset: bigint, flags: WriteFlags): void;
  flush?(): void;
  trim?(offset: bigint, length: bigint, flags: WriteFlags): void;
  zero?(offset: bigint, length: bigint, flags: WriteFlags): void;
}
/** Fails the call. The client gets the errno and the text. */
export class PluginError extends Error {
  constructor(text: string, errno?: Errno);
}
/** Returns the interfaces to export, for a manifest and a function that opens an instance. */
export function plugin(info: PluginInfo, open: (name: string) => Disk): {
  manifest: typeof import("nbdbox:plugin/manifest@0.1.0");
  device: typeof import("nbdbox:plugin/device@0.1.0");
  sparse: typeof import("nbdbox:plugin/sparse@0.1.0");
  writable: typeof import("nbdbox:plugin/writable@0.1.0");
  zeroable: typeof import("nbdbox:plugin/zeroable@0.1.0");
};
