// What plugins may import, for TypeScript and for editors. Offsets and lengths are in
// bytes; u64 is bigint. The contract of each call is in wit/; a test holds these names to it.

declare module "nbdbox:plugin/types@0.1.0" {
  export type Errno =
    | "eperm" | "eio" | "enomem" | "einval" | "enospc" | "eoverflow" | "enotsup" | "eshutdown";
  export type ExtentKind = "data" | "hole" | "zero" | "undefined";
  export interface Extent { offset: bigint; length: bigint; kind: ExtentKind }
  export interface WriteFlags { fua?: boolean; noHole?: boolean; fastZero?: boolean }
  export type Progress = "more" | "full";
}

declare module "nbdbox:plugin/host@0.1.0" {
  export type Level = "error" | "warn" | "info" | "debug";
  export function log(level: Level, text: string): void;
  export function explain(text: string): void;
  export function monotonicMs(): bigint;
  export function wallMs(): bigint;
}

declare module "nbdbox:plugin/config@0.1.0" {
  export function get(key: string): string | undefined;
  export function getSize(key: string): bigint | undefined;
  export function all(): Array<[string, string]>;
}

declare module "nbdbox:plugin/blobs@0.1.0" {
  import type { WriteFlags } from "nbdbox:plugin/types@0.1.0";
  export type Access = "map-only" | "read-only" | "read-write";
  export class Blob {
    private constructor();
    static open(name: string): Blob;
    access(): Access;
    size(): bigint;
    read(offset: bigint, length: number): Uint8Array;
    write(offset: bigint, bytes: Uint8Array, mode: WriteFlags): void;
    flush(): void;
    trim(offset: bigint, length: bigint, mode: WriteFlags): void;
    zero(offset: bigint, length: bigint, mode: WriteFlags): void;
    prefetch(offset: bigint, length: bigint): void;
  }
}

declare module "nbdbox:plugin/requests@0.1.0" {
  import type { Extent, ExtentKind, Progress } from "nbdbox:plugin/types@0.1.0";
  import type { Blob } from "nbdbox:plugin/blobs@0.1.0";
  export class ReadReply {
    private constructor();
    data(bytes: Uint8Array): void;
    zeroes(length: bigint): void;
    blob(source: Blob, offset: bigint, length: bigint): void;
  }
  export class WritePayload {
    private constructor();
    length(): number;
    read(start: number, length: number): Uint8Array;
    store(target: Blob, offset: bigint, start: number, length: number): void;
  }
  export class Extents {
    private constructor();
    add(offset: bigint, length: bigint, kind: ExtentKind): Progress;
    addAll(extents: Extent[]): Progress;
    blob(source: Blob, offset: bigint, length: bigint, position: bigint): Progress;
    endAt(offset: bigint): void;
  }
}
