"""The Python kit for nbdbox plugins.

Write a subclass of `Plugin`, and export it at the end of the module, with the interfaces of the world that you
build with:

    Manifest, Device, Sparse = nbdbox.export(MyDisk)                          # world read-only
    Manifest, Device, Sparse, Writable, Zeroable = nbdbox.export(MyDisk, 5)   # world read-write

componentize-py generates `wit_world` from wit/, whose comments specify each call.
"""

from typing import Optional

from componentize_py_types import Err
from wit_world.exports.device import BlockSizes, DeviceInfo, InstanceMode
from wit_world.exports.manifest import BlobNeed, PluginInfo, Setting, ValueKind
from wit_world.imports import config, host
from wit_world.imports.blobs import Access, Blob
from wit_world.imports.requests import Extents, ReadReply, WritePayload
from wit_world.imports.types import Errno, ExtentKind, Progress, WriteFlags

SINGLE, PARALLEL = InstanceMode.SINGLE, InstanceMode.PARALLEL


class Error(Exception):
    """Fails the call. The client gets the errno and the text."""

    def __init__(self, text: str, errno: Errno = Errno.EIO):
        super().__init__(text)
        self.errno = errno


def invalid(text: str) -> Error:
    """An error for an invalid request or setting (EINVAL)."""
    return Error(text, Errno.EINVAL)


def setting(key: str, kind: ValueKind, help: str, default: Optional[str] = None) -> Setting:
    """A setting that the operator may leave out. Its value is then the default, or None."""
    return Setting(key, kind, False, default, help)


def required(key: str, kind: ValueKind, help: str) -> Setting:
    """A setting that the operator must give."""
    return Setting(key, kind, True, None, help)


def text(key: str) -> Optional[str]:
    """Returns a setting's text, or its default."""
    return config.get(key)


def size(key: str) -> Optional[int]:
    """Returns a setting of kind size in bytes, or its default."""
    try:
        return config.get_size(key)
    except Err as error:
        raise invalid(error.value) from None


class Plugin:
    """A block device. The object is the state of one instance; calls to it never overlap."""

    manifest: PluginInfo

    def __init__(self, name: str):
        """Read settings and open blobs here, and set `size`."""
        self.size = 0

    mode = SINGLE
    read_only = False
    immutable = False
    description: Optional[str] = None
    # componentize-py never frees the bytes that a plugin passes to `ReadReply.data`. The host replaces an instance
    # whose memory has grown too much; this limit keeps a single call from using it up.
    block_sizes: Optional[BlockSizes] = BlockSizes(1, 4096, 1 << 20)

    def read(self, reply: ReadReply, offset: int, length: int) -> None:
        """Fills `reply` with exactly `length` bytes."""
        raise NotImplementedError

    def extents(self, extents: Extents, offset: int, length: int, one: bool) -> None:
        """Adds what the plugin knows of the range. The host takes the rest for data, which is always correct."""

    def write(self, payload: WritePayload, offset: int, flags: WriteFlags) -> None:
        """Writes the payload."""
        raise NotImplementedError

    def flush(self) -> None:
        """Makes every change durable that was answered before."""

    def trim(self, offset: int, length: int, flags: WriteFlags) -> None:
        """The client doesn't need the range any more. A hint."""

    def zero(self, offset: int, length: int, flags: WriteFlags) -> None:
        """Makes the range read as zeroes."""
        raise NotImplementedError


def export(plugin: type[Plugin], interfaces: int = 3) -> tuple[type, ...]:
    """Returns the first `interfaces` classes that componentize-py requires: Manifest, Device, Sparse, Writable,
    Zeroable."""
    opened: list[Plugin] = []

    class Manifest:
        def describe(self) -> PluginInfo:
            return plugin.manifest

    class Device:
        def open(self, name: str) -> DeviceInfo:
            disk = _answer(plugin, name)
            opened[:] = [disk]
            return DeviceInfo(disk.size, disk.block_sizes, disk.description, disk.mode,
                              disk.read_only, disk.immutable)

        def read(self, reply, offset, length) -> None:
            _answer(opened[0].read, reply, offset, length)

    class Sparse:
        def report(self, extents, offset, length, one) -> None:
            _answer(opened[0].extents, extents, offset, length, one)

    class Writable:
        def write(self, payload, offset, mode) -> None:
            _answer(opened[0].write, payload, offset, mode)

        def flush(self) -> None:
            _answer(opened[0].flush)

    class Zeroable:
        def trim(self, offset, length, mode) -> None:
            _answer(opened[0].trim, offset, length, mode)

        def zero(self, offset, length, mode) -> None:
            _answer(opened[0].zero, offset, length, mode)

    return (Manifest, Device, Sparse, Writable, Zeroable)[:interfaces]


def _answer(call, *arguments):
    """Turns an exception into an errno and a text, and logs an unexpected one in full."""
    try:
        return call(*arguments)
    except Err:
        raise  # An errno of the host's own functions, passed on.
    except Error as error:
        host.explain(str(error))
        raise Err(error.errno) from None
    except Exception as error:  # The instance lives on, as a Python program would.
        host.log(host.Level.ERROR, _story(error))
        host.explain(f"{type(error).__name__}: {error}")
        raise Err(Errno.EIO) from None


def _story(error: Exception) -> str:
    """Describes where an exception came from. `traceback` needs the source, and a plugin has no files."""
    lines, at = [], error.__traceback__
    while at:
        code = at.tb_frame.f_code
        lines.append(f"{code.co_filename}:{at.tb_lineno} in {code.co_name}")
        at = at.tb_next
    return "; ".join([*lines, f"{type(error).__name__}: {error}"])
