// {{name}}: a disk on which every byte is its offset modulo 251. Replace it with your own.

import { getSize } from "nbdbox:plugin/config@0.1.0";
import { plugin } from "./kit/nbdbox.js";

// A reply is made in pieces of this many bytes, so a large read needs no more memory than a small one.
const PIECE = 64 * 1024;
// The build runs this module and keeps its memory, so a table that is made here costs nothing later. This
// one holds a piece that begins at any of the 251 offsets.
const PATTERN = Uint8Array.from({ length: 251 + PIECE }, (_, at) => at % 251);

class Disk {
  constructor() {
    // Read settings, open blobs (Blob.open of nbdbox:plugin/blobs@0.1.0), read tables.
    this.size = getSize("size");
  }

  describe() {
    // parallel: any instance can serve any call; immutable: the contents never change.
    return { size: this.size, mode: "parallel", readOnly: true, immutable: true };
  }

  read(reply, offset, length) {
    // YOUR WORK GOES HERE: fill the reply with exactly `length` bytes from `offset` on, with reply.data,
    // reply.zeroes, or (by reference, from a granted file) reply.blob. Offsets are BigInts.
    let start = Number(offset % 251n);
    for (let left = length; left > 0; left -= PIECE) {
      const count = Math.min(PIECE, left);
      reply.data(PATTERN.subarray(start, start + count));
      start = (start + count) % 251;
    }
  }

  extents(extents, offset, length, one) {
    // AND HERE: report holes and zeroes with extents.add. The host takes the rest for data.
  }
}

// The settings that operators can give, and the files that they must grant.
const info = {
  name: "{{name}}",
  version: "0.1.0",
  summary: "every byte is its offset modulo 251",
  settings: [
    { key: "size", kind: "size", required: false, default: "1M", help: "size of the disk" },
  ],
  blobs: [],
};

// The interfaces of the world that the Makefile names. To let clients write, use the world read-write and
// export `writable` and `zeroable` too.
export const { manifest, device, sparse } = plugin(info, () => new Disk());
