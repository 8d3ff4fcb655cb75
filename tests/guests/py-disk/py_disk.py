"""A writable disk in Python, kept in a granted blob: holds the world read-write to real clients."""

import nbdbox
from nbdbox import Access, BlobNeed, PluginInfo, ReadReply, WriteFlags, WritePayload


class Disk(nbdbox.Plugin):
    manifest = PluginInfo("py-disk", "0.1.0", "a blob, byte by byte", [],
                          [BlobNeed("disk", Access.READ_WRITE, "what is written")])
    mode = nbdbox.PARALLEL

    def __init__(self, name: str):
        self.blob = nbdbox.Blob.open("disk")
        self.size = self.blob.size()

    def read(self, reply: ReadReply, offset: int, length: int) -> None:
        reply.data(self.blob.read(offset, length))

    def write(self, payload: WritePayload, offset: int, flags: WriteFlags) -> None:
        self.blob.write(offset, payload.read(0, payload.length()), flags)

    def zero(self, offset: int, length: int, flags: WriteFlags) -> None:
        self.blob.zero(offset, length, flags)


Manifest, Device, Sparse, Writable, Zeroable = nbdbox.export(Disk, 5)
