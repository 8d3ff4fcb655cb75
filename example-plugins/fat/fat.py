"""A FAT32 volume that holds the granted files: made as it is read, nothing is ever written out.

The tables are computed, the files' bytes are served by reference: with `map-only` grants this makes a
volume of files that it can't read. Clusters are 4 KiB, and every file is one run of them.
"""

import array
import encodings.utf_16_le  # noqa: F401  (codecs are loaded when first used, and then it's too late)
import struct
from bisect import bisect_right
from dataclasses import dataclass
from typing import Callable, Optional

import nbdbox
from nbdbox import Blob, ExtentKind, PluginInfo, Progress, ValueKind

SECTOR = 512
CLUSTER = 4096
RESERVED = 32  # sectors before the first FAT
LEAST_CLUSTERS = 65525  # fewer would make it FAT16
MOST_CLUSTERS = 1 << 22  # 16 GiB: keeps requests for the tables within their CPU limit
END = 0x0FFFFFFF
MONDAY = (2024 - 1980) << 9 | 1 << 5 | 1  # every file in a FAT needs a date: 2024-01-01


@dataclass
class Region:
    """Bytes [start, start + length) of the volume: data made by `make`, or a blob's, or zeroes."""

    start: int
    length: int
    make: Optional[Callable[[int, int], bytes]] = None
    blob: Optional[Blob] = None


class Fat(nbdbox.Plugin):
    manifest = PluginInfo(
        "fat", "0.1.0", "a FAT32 volume of granted files",
        [nbdbox.required("files", ValueKind.TEXT,
                         "files of the volume: BLOB or BLOB:NAME, separated by commas"),
         nbdbox.setting("label", ValueKind.TEXT, "label of the volume, up to 11 letters or digits", "NBDBOX")],
        [])
    mode = nbdbox.PARALLEL
    read_only = True

    def __init__(self, name: str):
        label = (nbdbox.text("label") or "").upper()
        if not (0 < len(label) <= 11 and label.isascii() and label.replace(" ", "").isalnum()):
            raise nbdbox.invalid("label= must have 1 to 11 letters and digits")
        self.label = label.encode().ljust(11)
        files = [open_file(word.strip()) for word in (nbdbox.text("files") or "").split(",")]
        check_names([name for name, _, _ in files])
        self.lay_out(files)

    def lay_out(self, files: list[tuple[str, Blob, int]]) -> None:
        """Assigns the clusters: first the root directory, then one file after the other."""
        entries = 1 + sum(1 + long_entries(name) for name, _, _ in files)
        root_clusters = clusters_of(32 * entries)
        runs, directory, first = [(2, root_clusters)], [self.label_entry()], 2 + root_clusters
        for index, (name, _, size) in enumerate(files):
            count = clusters_of(size)
            directory.append(entry_of(index, name, first if count else 0, size))
            if count:
                runs.append((first, count))
            first += count
        clusters = max(first - 2, LEAST_CLUSTERS)
        if clusters > MOST_CLUSTERS:
            raise nbdbox.Error("the files have more than 16 GiB in total", nbdbox.Errno.ENOSPC)

        self.runs = runs
        self.run_starts = [start for start, _ in runs]
        used, fat = 4 * first, -(-4 * (clusters + 2) // SECTOR)
        data = (RESERVED + 2 * fat) * SECTOR
        self.size = data + clusters * CLUSTER
        self.regions = [fixed(0, self.boot(fat, clusters - (first - 2), first))]
        for copy in range(2):
            self.regions.append(Region((RESERVED + copy * fat) * SECTOR, used, make=self.table))
        self.regions.append(fixed(data, b"".join(directory)))
        position = data + root_clusters * CLUSTER
        for _, blob, size in files:
            if size:
                self.regions.append(Region(position, size, blob=blob))
            position += clusters_of(size) * CLUSTER
        self.starts = [region.start for region in self.regions]

    def boot(self, fat: int, free: int, next_free: int) -> bytes:
        """The reserved sectors: boot sector and FSInfo, each with its copy."""
        sector = struct.pack(
            "<3s8sHBHBHHBHHHIIIHHIHH12xBBBI11s8s", b"\xeb\x58\x90", b"NBDBOX  ", SECTOR,
            CLUSTER // SECTOR, RESERVED, 2, 0, 0, 0xF8, 0, 63, 255, 0, self.size // SECTOR, fat, 0, 0,
            2, 1, 6, 0x80, 0, 0x29, 0x6E626462, self.label, b"FAT32   ")
        info = struct.pack("<I480xIII12xI", 0x41615252, 0x61417272, free, next_free, 0xAA550000)
        pair = sector.ljust(510, b"\0") + b"\x55\xaa" + info
        return pair.ljust(6 * SECTOR, b"\0") + pair

    def label_entry(self) -> bytes:
        return struct.pack("<11sB10xHHHI", self.label, 0x08, 0, MONDAY, 0, 0)

    def table(self, offset: int, length: int) -> bytes:
        """Makes bytes of the FAT: each cluster names the next one of its run."""
        first, last = offset // 4, -(-(offset + length) // 4)
        table = array.array("I", range(first + 1, last + 1))
        fixed_entries = {0: 0x0FFFFFF8, 1: END}
        at = max(bisect_right(self.run_starts, first) - 1, 0)
        for start, count in self.runs[at:]:
            if start > last:
                break
            fixed_entries[start + count - 1] = END
        for cluster, value in fixed_entries.items():
            if first <= cluster < last:
                table[cluster - first] = value
        return table.tobytes()[offset - 4 * first:][:length]

    def pieces(self, offset: int, length: int):
        """The regions of a range, in order, with zeroes (None) between them."""
        at, end = offset, offset + length
        index = max(bisect_right(self.starts, at) - 1, 0)
        for region in self.regions[index:]:
            if region.start >= end:
                break
            if region.start > at:
                yield None, at, region.start - at
                at = region.start
            count = min(end, region.start + region.length) - at
            if count > 0:
                yield region, at, count
                at += count
        if at < end:
            yield None, at, end - at

    def read(self, reply, offset, length):
        for region, at, count in self.pieces(offset, length):
            if region is None:
                reply.zeroes(count)
            elif region.blob:
                reply.blob(region.blob, at - region.start, count)
            else:
                reply.data(region.make(at - region.start, count))

    def extents(self, extents, offset, length, one):
        for region, at, count in self.pieces(offset, length):
            if region is None:
                progress = extents.add(at, count, ExtentKind.HOLE)
            elif region.blob:
                progress = extents.blob(region.blob, at - region.start, count, at)
            else:
                progress = extents.add(at, count, ExtentKind.DATA)
            if progress == Progress.FULL:
                return


def open_file(word: str) -> tuple[str, Blob, int]:
    blob_name, _, name = word.partition(":")
    try:
        blob = Blob.open(blob_name)
    except nbdbox.Err:
        raise nbdbox.invalid(f"files=: {blob_name} isn't granted: add --blob {blob_name}=PATH") from None
    size = blob.size()
    if size >= 1 << 32:
        raise nbdbox.Error(f"{blob_name}: a file in a FAT must be smaller than 4 GiB", nbdbox.Errno.EOVERFLOW)
    return name or blob_name, blob, size


def check_names(names: list[str]) -> None:
    for name in names:
        if not 0 < len(name) <= 255 or any(c in '"*/:<>?\\|' or c < " " for c in name):
            raise nbdbox.invalid(f"files=: {name!r} isn't a valid file name")
    if len({name.lower() for name in names}) != len(names):
        raise nbdbox.invalid("files=: two files have the same name")


def fixed(start: int, data: bytes) -> Region:
    return Region(start, len(data), make=lambda at, count: data[at:at + count])


def clusters_of(size: int) -> int:
    return -(-size // CLUSTER)


def long_entries(name: str) -> int:
    return -(-(len(name.encode("utf-16-le")) // 2) // 13)


def entry_of(index: int, name: str, cluster: int, size: int) -> bytes:
    """A file's directory entries: its long name in pieces, then a short one that is only unique."""
    short = f"F{index:07}BIN".encode()
    checksum = 0
    for byte in short:
        checksum = ((checksum & 1) << 7 | checksum >> 1) + byte & 0xFF
    count = long_entries(name)
    text = name.encode("utf-16-le")
    if len(text) < 26 * count:
        text = (text + b"\0\0").ljust(26 * count, b"\xff")
    entries = b""
    for number in range(count, 0, -1):
        part = text[26 * (number - 1):26 * number]
        last = 0x40 if number == count else 0
        entries += struct.pack("<B10sBBB12sH4s", number | last, part[:10], 0x0F, 0, checksum,
                               part[10:22], 0, part[22:])
    return entries + struct.pack("<11sBBBHHHHHHHI", short, 0x01, 0, 0, 0, MONDAY, MONDAY,
                                 cluster >> 16, 0, MONDAY, cluster & 0xFFFF, size)


Manifest, Device, Sparse = nbdbox.export(Fat)
