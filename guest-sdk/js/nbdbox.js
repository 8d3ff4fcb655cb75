// The JavaScript and TypeScript kit for nbdbox plugins. Types: nbdbox.d.ts and wit.d.ts. wit/ specifies each
// call.
//
//     export const { manifest, device, sparse } = plugin({ name: "mine", … }, (name) => new MyDisk());

import { explain, log } from "nbdbox:plugin/host@0.1.0";

export class PluginError extends Error {
  constructor(text, errno = "eio") {
    super(text);
    // The host gets this errno instead of the exception.
    this.payload = errno;
  }
}

export function plugin(info, open) {
  let disk;
  return {
    manifest: { describe: () => info },
    device: {
      open: (name) => answer(() => {
        disk = open(name);
        return disk.describe();
      }),
      read: (reply, offset, length) => answer(() => disk.read(reply, offset, length)),
    },
    sparse: {
      report: (extents, offset, length, one) =>
        answer(() => disk.extents(extents, offset, length, one)),
    },
    writable: {
      write: (payload, offset, mode) => answer(() => disk.write(payload, offset, mode)),
      flush: () => answer(() => disk.flush()),
    },
    zeroable: {
      trim: (offset, length, mode) => answer(() => disk.trim(offset, length, mode)),
      zero: (offset, length, mode) => answer(() => disk.zero(offset, length, mode)),
    },
  };
}

// Turns an exception into an errno and a text, and logs an unexpected one with its stack.
function answer(call) {
  try {
    return call();
  } catch (error) {
    if (error instanceof PluginError) {
      explain(error.message);
      throw error;
    }
    if (typeof error?.payload === "string") throw error; // An errno of the host's own functions.
    log("error", `${error}; ${String(error?.stack).trim().replaceAll("\n", "; ")}`);
    explain(`${error}`);
    throw new PluginError(`${error}`);
  }
}
