"""{{name}}: a disk on which every byte is its offset modulo 251. Replace it with your own."""

import nbdbox
from nbdbox import Extents, PluginInfo, ReadReply, ValueKind

# A reply is made in pieces of this many bytes, so a large read needs no more memory than a small one.
PIECE = 64 * 1024
# The build imports this module and keeps its memory, so a table that is made here costs nothing later.
# This one holds a piece that begins at any of the 251 offsets.
PATTERN = bytes(at % 251 for at in range(251 + PIECE))


class Disk(nbdbox.Plugin):
    # The settings that operators can give, and (in the last list, as nbdbox.BlobNeed) the files that
    # they must grant.
    manifest = PluginInfo(
        "{{name}}", "0.1.0", "every byte is its offset modulo 251",
        [nbdbox.setting("size", ValueKind.SIZE, "size of the disk", "1M")],
        [])
    mode = nbdbox.PARALLEL  # any instance can serve any call
    immutable = True  # the contents never change

    def __init__(self, name: str):
        # Read settings, open blobs (nbdbox.Blob.open), read tables.
        self.size = nbdbox.size("size") or 0

    def read(self, reply: ReadReply, offset: int, length: int) -> None:
        # YOUR WORK GOES HERE: fill the reply with exactly `length` bytes from `offset` on, with reply.data,
        # reply.zeroes, or (by reference, from a granted file) reply.blob.
        end = offset + length
        while offset < end:
            count = min(PIECE, end - offset)
            start = offset % 251
            reply.data(PATTERN[start:start + count])
            offset += count

    def extents(self, extents: Extents, offset: int, length: int, one: bool) -> None:
        # AND HERE: report holes and zeroes with extents.add. The host takes the rest for data.
        pass


# The interfaces of the world that the Makefile names. To let clients write, use the world read-write and
# Manifest, Device, Sparse, Writable, Zeroable = nbdbox.export(Disk, 5)
Manifest, Device, Sparse = nbdbox.export(Disk)
