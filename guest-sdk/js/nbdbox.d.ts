// What plugins export, and the kit's own help. Contracts: wit/.

import type { Errno, WriteFlags } from "nbdbox:plugin/types@0.1.0";
import type { Access } from "nbdbox:plugin/blobs@0.1.0";
import type { Extents, ReadReply, WritePayload } from "nbdbox:plugin/requests@0.1.0";

export type ValueKind = "text" | "size" | "number" | "boolean";
export interface Setting {
  key: string; kind: ValueKind; required: boolean; default?: string; help: string;
}
export interface BlobNeed { name: string; access: Access; help: string }
export interface PluginInfo {
  name: string; version: string; summary: string; settings: Setting[]; blobs: BlobNeed[];
}
export interface BlockSizes { minimum: number; preferred: number; maximum: number }
export interface DeviceInfo {
  size: bigint; blockSizes?: BlockSizes; description?: string; mode: "single" | "parallel";
  readOnly: boolean; immutable: boolean;
}
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
  manifest: { describe(): PluginInfo };
  device: {
    open(name: string): DeviceInfo;
    read(reply: ReadReply, offset: bigint, length: number): void;
  };
  sparse: { report(extents: Extents, offset: bigint, length: bigint, one: boolean): void };
  writable: { write(payload: WritePayload, offset: bigint, mode: WriteFlags): void; flush(): void };
  zeroable: {
    trim(offset: bigint, length: bigint, mode: WriteFlags): void;
    zero(offset: bigint, length: bigint, mode: WriteFlags): void;
  };
};
