// {{name}}: every byte is its offset modulo 251. Put your own disk in its place.

import { getSize } from "nbdbox:plugin/config@0.1.0";
import { plugin } from "./kit/nbdbox.js";

// Bytes of a reply that are made at once: a large read then needs no more memory than a small one.
const PIECE = 64 * 1024;
// This module runs when the component is built, and its memory is kept: what is made here costs nothing
// later. Long enough for a piece from any of the 251 offsets on.
const PATTERN = Uint8Array.from({ length: 251 + PIECE }, (_, at) => at % 251);

class Disk {
  constructor() {
    // Read settings, open blobs (Blob.open of nbdbox:plugin/blobs@0.1.0), read tables.
    this.size = getSize("size");
  }

  describe() {
    // parallel: nothing in memory matters; immutable: the contents never change.
    return { size: this.size, mode: "parallel", readOnly: true, immutable: true };
  }

  read(reply, offset, length) {
    // YOUR WORK GOES HERE: exactly `length` bytes from `offset` on, by reply.data, reply.zeroes, or,
    // without touching them, from a granted file by reply.blob. Offsets are BigInts.
    let start = Number(offset % 251n);
    for (let left = length; left > 0; left -= PIECE) {
      const count = Math.min(PIECE, left);
      reply.data(PATTERN.subarray(start, start + count));
      start = (start + count) % 251;
    }
  }

  extents(extents, offset, length, one) {
    // AND HERE: extents.add what reads as zeroes. What you leave out is data: always right.
  }
}

// Settings that operators can give, and the files that they must grant.
const info = {
  name: "{{name}}",
  version: "0.1.0",
  summary: "every byte is its offset modulo 251",
  settings: [
    { key: "size", kind: "size", required: false, default: "1M", help: "size of the disk" },
  ],
  blobs: [],
};

// The interfaces of the world that the Makefile names. To let it be written: read-write, and
// `writable` and `zeroable` too.
export const { manifest, device, sparse } = plugin(info, () => new Disk());
