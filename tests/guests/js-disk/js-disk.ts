// A writable disk in TypeScript, in its own memory: holds the world read-write to real clients.

import type { Extents, ReadReply, WritePayload } from "nbdbox:plugin/requests@0.1.0";
import { plugin, type DeviceInfo, type Disk } from "../../../guest-sdk/js/nbdbox.js";

class Memory implements Disk {
  private readonly bytes = new Uint8Array(65536);

  describe(): DeviceInfo {
    return { size: BigInt(this.bytes.length), mode: "single", readOnly: false, immutable: false };
  }

  read(reply: ReadReply, offset: bigint, length: number): void {
    reply.data(this.bytes.subarray(Number(offset), Number(offset) + length));
  }

  extents(_extents: Extents, _offset: bigint, _length: bigint, _one: boolean): void {}

  write(payload: WritePayload, offset: bigint): void {
    this.bytes.set(payload.read(0, payload.length()), Number(offset));
  }

  flush(): void {}

  trim(): void {}

  zero(offset: bigint, length: bigint): void {
    this.bytes.fill(0, Number(offset), Number(offset + length));
  }
}

const info = { name: "js-disk", version: "0.1.0", summary: "64 KiB of memory", settings: [], blobs: [] };

export const { manifest, device, sparse, writable, zeroable } = plugin(info, () => new Memory());
