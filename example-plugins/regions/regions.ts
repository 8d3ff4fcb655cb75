// A disk that a JSON file describes: regions of text, of hexadecimal bytes, of a repeated pattern, of zeroes, or of
// a granted blob. The rest of the disk is a hole.

import { Blob } from "nbdbox:plugin/blobs@0.1.0";
import type { Extents, ReadReply } from "nbdbox:plugin/requests@0.1.0";
import type { ExtentKind } from "nbdbox:plugin/types@0.1.0";
import { plugin, PluginError, type DeviceInfo, type Disk } from "../../guest-sdk/js/nbdbox.js";

interface Region {
  start: bigint;
  end: bigint;
  kind: ExtentKind;
  fill(reply: ReadReply, from: bigint, count: bigint): void;
  blob?: { source: Blob; at: bigint };
}

class Regions implements Disk {
  constructor(private readonly size: bigint, private readonly regions: Region[]) {}

  describe(): DeviceInfo {
    return { size: this.size, mode: "parallel", readOnly: true, immutable: false };
  }

  read(reply: ReadReply, offset: bigint, length: number): void {
    for (const { region, at, count } of this.pieces(offset, BigInt(length))) {
      if (region) region.fill(reply, at - region.start, count);
      else reply.zeroes(count);
    }
  }

  extents(extents: Extents, offset: bigint, length: bigint, _one: boolean): void {
    for (const { region, at, count } of this.pieces(offset, length)) {
      const progress = region?.blob
        ? extents.blob(region.blob.source, region.blob.at + at - region.start, count, at)
        : extents.add(at, count, region?.kind ?? "hole");
      if (progress === "full") return;
    }
  }

  /** The regions of a range in order, with the holes between them. */
  private *pieces(offset: bigint, length: bigint) {
    const end = offset + length;
    let at = offset;
    for (const region of this.regions.slice(this.firstAfter(offset))) {
      if (region.start >= end) break;
      if (region.start > at) {
        yield { region: undefined, at, count: region.start - at };
        at = region.start;
      }
      const stop = region.end < end ? region.end : end;
      yield { region, at, count: stop - at };
      at = stop;
    }
    if (at < end) yield { region: undefined, at, count: end - at };
  }

  /** The first region that ends after an offset. */
  private firstAfter(offset: bigint): number {
    let [low, high] = [0, this.regions.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.regions[middle]!.end <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function wrong(text: string): PluginError {
  return new PluginError(text, "einval");
}

function parse(text: string): Regions {
  let json: any;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw wrong(`the description isn't JSON: ${(error as Error).message}`);
  }
  if (!Array.isArray(json?.regions)) throw wrong("the description has no list `regions`");
  const regions = json.regions.map((region: any, index: number) => parseRegion(region, index));
  regions.sort((a: Region, b: Region) => (a.start < b.start ? -1 : 1));
  regions.forEach((region: Region, index: number) => {
    if (index > 0 && regions[index - 1].end > region.start)
      throw wrong(`two regions overlap at byte ${region.start}`);
  });
  const end = regions.at(-1)?.end ?? 0n;
  const size = json.size === undefined ? end : bytes(json.size, "size");
  if (end > size) throw wrong(`a region ends at ${end}, past the end of the disk at ${size}`);
  return new Regions(size, regions);
}

function parseRegion(region: any, index: number): Region {
  const name = `region ${index}`;
  const start = bytes(region?.offset, `${name}: offset`);
  if (typeof region.text === "string") return data(start, encode(region.text));
  if (typeof region.hex === "string") return data(start, fromHex(region.hex, name));
  const length = bytes(region.length, `${name}: length`);
  if (length === 0n) throw wrong(`${name} is empty`);
  const end = start + length;
  if (region.zero === true)
    return { start, end, kind: "zero", fill: (reply, _from, count) => reply.zeroes(count) };
  if (typeof region.pattern === "string") {
    const pattern = fromHex(region.pattern, name);
    const fill = (reply: ReadReply, from: bigint, count: bigint) =>
      reply.data(repeated(pattern, from, Number(count)));
    return { start, end, kind: "data", fill };
  }
  if (typeof region.blob === "string") return fromBlob(region, name, start, end);
  throw wrong(`${name} needs one of text, hex, pattern, zero and blob`);
}

function data(start: bigint, content: Uint8Array): Region {
  const fill = (reply: ReadReply, from: bigint, count: bigint) =>
    reply.data(content.subarray(Number(from), Number(from + count)));
  return { start, end: start + BigInt(content.length), kind: "data", fill };
}

function fromBlob(region: any, name: string, start: bigint, end: bigint): Region {
  let source: Blob;
  try {
    source = Blob.open(region.blob);
  } catch {
    throw wrong(`${name}: ${region.blob} isn't granted: add --blob ${region.blob}=PATH`);
  }
  const at = bytes(region.at ?? 0, `${name}: at`);
  if (at + end - start > source.size()) throw wrong(`${name} is longer than its blob`);
  const fill = (reply: ReadReply, from: bigint, count: bigint) => reply.blob(source, at + from, count);
  return { start, end, kind: "data", fill, blob: { source, at } };
}

/** A number of bytes that JSON can carry exactly. */
function bytes(value: unknown, name: string): bigint {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw wrong(`${name} must be a whole number of bytes`);
  return BigInt(value);
}

function encode(text: string): Uint8Array {
  if (text === "") throw wrong("a region is empty");
  return new TextEncoder().encode(text);
}

function fromHex(hex: string, name: string): Uint8Array {
  if (hex === "" || hex.length % 2 || /[^0-9a-f]/i.test(hex))
    throw wrong(`${name}: \`${hex}\` isn't hexadecimal`);
  return Uint8Array.from(hex.match(/../g)!, (pair) => parseInt(pair, 16));
}

/** `count` bytes of a repetition, from `from` on. Doubles the bytes instead of looping over them. */
function repeated(pattern: Uint8Array, from: bigint, count: number): Uint8Array {
  const phase = Number(from % BigInt(pattern.length));
  const result = new Uint8Array(phase + count);
  result.set(pattern.subarray(0, result.length));
  for (let filled = pattern.length; filled < result.length; filled *= 2)
    result.copyWithin(filled, 0, filled);
  return result.subarray(phase);
}

const info = {
  name: "regions",
  version: "0.1.0",
  summary: "a disk of regions that a JSON file describes",
  settings: [],
  blobs: [{ name: "description", access: "read-only" as const, help: "the JSON file, at most 1 MiB" }],
};

export const { manifest, device, sparse } = plugin(info, () => {
  const description = Blob.open("description");
  const size = description.size();
  if (size > 1n << 20n) throw wrong("the description has more than 1 MiB");
  const text = size ? new TextDecoder().decode(description.read(0n, Number(size))) : "";
  return parse(text);
});
