"""A store's file changed at once or not at all, also on file systems that promise nothing (FAT).

PATH is written anew beside itself, as PATH.new: first the blob, which is read back and checked, then a mark
behind it. From the mark on the new store counts: it is copied over PATH, checked again, and PATH.new is
removed. Power may fail at any write: without the whole mark PATH is untouched, with it the copy is made
again when the store is opened. Nothing is renamed: on FAT that is two writes, with two names for the same
clusters between them.
"""

import os
from binascii import crc32

from . import layout
from .blob import is_file
from .compat import const
from .errors import SecureSocketError, StoreError
from .verify import digest

_EIO = const(5)
_ENOSPC = const(28)
_EROFS = const(30)


def write(path, writer):
    """Make the file at `path` the blob of a writer.Writer. Raises StoreError "store-write" or
    "store-read-only"; the file is unchanged then."""
    new = path + layout.JOURNAL
    if not settle(path):
        # It is the store, and the only whole copy of it.
        raise StoreError("store-write", "%s waits to be copied to its place" % new)
    try:
        _write_new(new, writer)
    except OSError as error:
        discard(new)
        raise refusal(path, error)
    _switch(path)


def refusal(path, error):
    """What a change of the store at `path` raises for an OSError."""
    if isinstance(error, SecureSocketError):
        return error
    if error.errno == _EROFS:
        return StoreError("store-read-only", path)
    return StoreError("store-write", "%s, errno %s" % (path, error.errno))


def _write_new(new, writer):
    # Composed twice: the header, which comes first, holds a digest of all the rest. Files are only appended
    # to, since littlefs copies all of one that changes at its beginning.
    header = writer.write(_nowhere)
    with open(new, "wb") as file:

        def put(data):
            if file.write(data) != len(data):
                raise OSError(_ENOSPC)

        put(header)
        writer.write(put)
    if not _is_whole(new, 0):
        raise OSError(_EIO)
    with open(new, "ab") as file:
        if file.write(layout.JOURNAL_MARK) != len(layout.JOURNAL_MARK):
            raise OSError(_ENOSPC)
    if not counts(new):
        raise OSError(_EIO)


def _nowhere(data):
    pass


def counts(new):
    """Whether the update in this file is whole, with its mark."""
    try:
        return _is_whole(new, len(layout.JOURNAL_MARK))
    except OSError:
        return False


def settle(path):
    """Finish an update of `path` that was cut off. False if it counts but could not be finished: the store is
    PATH.new then, with the mark behind it."""
    # One that does not count is overwritten by the next.
    return not counts(path + layout.JOURNAL) or _switch(path)


def _switch(path):
    new = path + layout.JOURNAL
    try:
        if is_file(path):
            os.remove(path)
        _copy(new, path)
        if not _is_whole(path, 0):
            return False
        os.remove(new)
    except OSError:
        return False
    return True


def clear(path):
    """Remove what a cut left beside the store at `path`, which is open, for the room that it takes."""
    discard(path + layout.STAGED)
    new = path + layout.JOURNAL
    try:
        if not _is_whole(new, len(layout.JOURNAL_MARK)):
            os.remove(new)
    except OSError:
        # Not there, or not to be told: then it stays.
        pass


def _copy(source, target):
    buffer = memoryview(bytearray(layout.CHUNK))
    with open(source, "rb") as old, open(target, "wb") as file:
        left = old.seek(0, 2) - len(layout.JOURNAL_MARK)
        old.seek(0)
        while left:
            view = buffer[: min(left, layout.CHUNK)]
            if old.readinto(view) != len(view) or file.write(view) != len(view):
                raise OSError(_ENOSPC)
            left -= len(view)


def _is_whole(path, mark):
    # Whether the file holds a header, what its digest is of, and the mark if one is wanted.
    with open(path, "rb") as file:
        size = file.seek(0, 2) - mark
        if size < layout.HEADER_LENGTH:
            return False
        if mark:
            file.seek(size)
            if file.read(mark) != layout.JOURNAL_MARK:
                return False

        def read(at, view):
            file.seek(at)
            if file.readinto(view) != len(view):
                raise OSError(_EIO)

        header = bytearray(layout.HEADER_LENGTH)
        read(0, header)
        return (
            header[: len(layout.MAGIC)] == layout.MAGIC
            and crc32(header) == layout.GOOD_CRC
            and int.from_bytes(header[layout.AT_TOTAL : layout.AT_COUNT], "little") == size
            and digest(read, size) == header[layout.AT_DIGEST : layout.AT_RESERVED_TOO]
        )


def discard(path):
    """Remove a file that nobody needs, if that can be done."""
    try:
        if is_file(path):
            os.remove(path)
    except OSError:
        pass
