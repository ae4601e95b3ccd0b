"""For tests of the store: anchors put together, stores in files, stores sealed again after damage."""

import binascii
import hashlib
import io
import os

from certstore import layout
from certstore.asn1 import encode
from certstore.store import CertStore
from support import EC_KEY, ON_MICROPYTHON, UNTIL_2049, UTC, common_name, extension, made

CRITICAL = b"\1\1\xff"
CA_TRUE = encode(0x30, CRITICAL)
# keyCertSign and cRLSign.
ROOT_USAGE = b"\3\2\1\6"
CONSTRAINTS = extension(19, CA_TRUE, CRITICAL)


def integer(value):
    """An INTEGER of up to 4 bytes, not negative."""
    content = value.to_bytes(4, "big")
    while len(content) > 1 and content[0] == 0 and content[1] < 128:
        content = content[1:]
    return encode(2, content)


def path_length(value):
    """basicConstraints with a pathLen."""
    return extension(19, encode(0x30, CRITICAL, integer(value)), CRITICAL)


def attribute(number, tag, value):
    """One RDN of one attribute of 2.5.4."""
    return encode(0x31, encode(0x30, encode(6, bytes((0x55, 4, number))), encode(tag, value)))


def ca(name=None, key=EC_KEY, times=UTC + UNTIL_2049, usage=ROOT_USAGE, ski=None, more=(), basic=CONSTRAINTS):
    """The DER of a CA's certificate. name: a DER Name, or bytes for a CN; usage: a BIT STRING or None."""
    if name is None or name[:1] != b"\x30":
        name = common_name(name or b"x.test")
    extensions = [basic] if basic else []
    if usage is not None:
        extensions.append(extension(15, usage, CRITICAL))
    if ski is not None:
        extensions.append(extension(14, encode(4, ski)))
    return made(name=name, key=key, times=times, extensions=extensions + list(more))


class File:
    """A temporary file with these bytes; its path is what `with` gives."""

    def __init__(self, data):
        # Several interpreters run this at the same time.
        self.path = "/tmp/certstore-%s.tmp" % binascii.hexlify(os.urandom(8)).decode()
        self.data = data

    def __enter__(self):
        with open(self.path, "wb") as file:
            file.write(self.data)
        return self.path

    def __exit__(self, *_):
        os.remove(self.path)


class Mounted:
    """A file with these bytes in a file system of MicroPython's, in memory; its path is what `with` gives.

    kind: "VfsRom", "VfsLfs2" or "VfsFat". `image` holds the file system.
    """

    def __init__(self, kind, data):
        self.kind = kind
        self.data = data

    def __enter__(self):
        import vfs

        make = getattr(vfs, self.kind)
        if self.kind == "VfsRom":
            self.image = bytearray(romfs(b"roots.bin", self.data))
            vfs.mount(make(memoryview(self.image)), "/certstore-test")
        else:
            blocks = Blocks(128 + len(self.data) // 512 * 2)
            self.image = blocks.data
            make.mkfs(blocks)
            vfs.mount(make(blocks), "/certstore-test")
            with open("/certstore-test/roots.bin", "wb") as file:
                file.write(self.data)
        return "/certstore-test/roots.bin"

    def __exit__(self, *_):
        import vfs

        vfs.umount("/certstore-test")


class Blocks:
    """A block device in memory, of blocks of 512 bytes."""

    def __init__(self, count):
        self.data = bytearray(512 * count)

    def readblocks(self, block, buffer, offset=0):
        at = 512 * block + offset
        buffer[:] = self.data[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        at = 512 * block + offset
        self.data[at : at + len(buffer)] = buffer

    def ioctl(self, request, _):
        if request == 4:
            return len(self.data) // 512
        return 512 if request == 5 else 0


def romfs(name, data):
    """A ROMFS image that holds one file."""

    def number(value):
        out = bytes((value & 127,))
        while value > 127:
            value >>= 7
            out = bytes((value & 127 | 128,)) + out
        return out

    def record(kind, payload):
        return number(kind) + number(len(payload)) + payload

    file = record(5, number(len(name)) + name + record(2, data))
    return b"\xd2\xcd\x31" + number(len(file)) + file


def file_systems(data):
    """What a store of these bytes can be read from as a path, for `with`."""
    found = [File(data)]
    if ON_MICROPYTHON:
        found += [Mounted(kind, data) for kind in ("VfsRom", "VfsLfs2", "VfsFat")]
    return found


class StreamStore(CertStore):
    """A store that is read as a file is, without one. `calls` counts the reads, `got` their bytes."""

    def __init__(self, data):
        self.data = data
        self.calls = self.got = 0
        super().__init__("a stream")

    def _open_file(self, path):
        self._file = Stream(self)


class Stream:
    def __init__(self, store):
        self.store = store
        self.stream = io.BytesIO(store.data)

    def seek(self, *where):
        return self.stream.seek(*where)

    def readinto(self, buffer):
        count = self.stream.readinto(buffer)
        self.store.calls += 1
        self.store.got += count
        return count

    def close(self):
        self.stream.close()


def little(data, at, size):
    return int.from_bytes(bytes(data[at : at + size]), "little")


def set_header(blob, at, value, length=layout.HEADER_LENGTH):
    """The blob with header bytes changed, and a header checksum that holds all the same."""
    header = bytearray(blob[: length - 4])
    header[at : at + len(value)] = value
    return bytes(header) + binascii.crc32(header).to_bytes(4, "little") + bytes(blob[length:])


def sealed(blob):
    """The blob with a digest and a header checksum that hold, whatever was changed behind the header."""
    digest = hashlib.sha256(blob[layout.HEADER_LENGTH :]).digest()
    return set_header(blob, layout.AT_DIGEST, digest)


def extents(blob):
    """[(where the index entry begins, its end before the padding, record, end of record)] of a good blob."""
    count = little(blob, layout.AT_COUNT, 4)
    size = blob[layout.AT_SKI_WIDTH] + layout.ENTRY_EXTRA
    found = []
    for number in range(count):
        entry = layout.HEADER_LENGTH + number * size
        stop = entry + layout.ENTRY_HEAD + (blob[entry + layout.AT_LENGTH] & 127)
        last = number + 1 == count
        end = little(blob, layout.AT_IDENTITIES, 4) if last else little(blob, entry + 2 * size - 3, 3)
        found.append((entry, stop, little(blob, entry + size - 3, 3), end))
    return found


def resealed(blob, extent):
    """The blob with the checksum of one record right again too."""
    entry, entry_stop, start, stop = extent
    changed = bytearray(blob)
    check = binascii.crc32(blob[start : stop - 4], binascii.crc32(blob[entry:entry_stop]))
    changed[stop - 4 : stop] = check.to_bytes(4, "little")
    return sealed(bytes(changed))
