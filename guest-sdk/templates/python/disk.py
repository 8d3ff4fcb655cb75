"""{{name}}: every byte is its offset modulo 251. Put your own disk in its place."""

import nbdbox
from nbdbox import Extents, PluginInfo, ReadReply, ValueKind

# Bytes of a reply that are made at once: a large read then needs no more memory than a small one.
PIECE = 64 * 1024
# This module is imported when the component is built, and its memory is kept: what is made here costs
# nothing later. Long enough for a piece from any of the 251 offsets on.
PATTERN = bytes(at % 251 for at in range(251 + PIECE))


class Disk(nbdbox.Plugin):
    # Settings that operators can give, and (in the last list: nbdbox.BlobNeed) files that they must grant.
    manifest = PluginInfo(
        "{{name}}", "0.1.0", "every byte is its offset modulo 251",
        [nbdbox.setting("size", ValueKind.SIZE, "size of the disk", "1M")],
        [])
    mode = nbdbox.PARALLEL  # nothing in memory matters
    immutable = True  # the contents never change

    def __init__(self, name: str):
        # Read settings, open blobs (nbdbox.Blob.open), read tables.
        self.size = nbdbox.size("size") or 0

    def read(self, reply: ReadReply, offset: int, length: int) -> None:
        # YOUR WORK GOES HERE: exactly `length` bytes from `offset` on, by reply.data, reply.zeroes, or,
        # without touching them, from a granted file by reply.blob.
        end = offset + length
        while offset < end:
            count = min(PIECE, end - offset)
            start = offset % 251
            reply.data(PATTERN[start:start + count])
            offset += count

    def extents(self, extents: Extents, offset: int, length: int, one: bool) -> None:
        # AND HERE: extents.add what reads as zeroes. What you leave out is data: always right.
        pass


# The interfaces of the world that the Makefile names. To let it be written: read-write, and
# Manifest, Device, Sparse, Writable, Zeroable = nbdbox.export(Disk, 5)
Manifest, Device, Sparse = nbdbox.export(Disk)
