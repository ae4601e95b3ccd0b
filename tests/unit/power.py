"""Power that fails in the middle of a store's update: a block device in RAM that stops at a write, below
MicroPython's file systems, the updates that are tried on it, and what must hold after each cut.

A device whose power is cut reads what it read before; every later write and erase fails. Booting again from
its bytes is power coming back.
"""

import gc
import os

import vfs

from certstore import anchors, journal
from certstore.blob import is_store
from certstore.errors import SecureSocketError, StoreError
from certstore.identities import Stored
from certstore.layers import LayeredStore
from certstore.layout import JOURNAL, STAGED
from certstore.replace import tag
from certstore.store import CertStore
from support import certificate_der, vector

PLACE = "/power"
STORE = PLACE + "/roots.bin"
CHANGES = PLACE + "/roots-changes.bin"
BLOCK = 512
_EIO = 5
_ERASED = b"\xff" * BLOCK

# Their devices differ: littlefs erases blocks and writes parts of them, FAT writes whole ones.
SYSTEMS = {"littlefs": vfs.VfsLfs2, "FAT": vfs.VfsFat}


class Disk:
    """Blocks of 512 bytes. data: those to begin with, copied. cut_at: the number, from 1, of the first write
    or erase that fails; None for none. torn: of that one the first half is still done.

    What fails is an OSError, as a driver in Python raises it; of a torn write and all after it, the number
    that one in C returns. once: those after it do not fail.
    """

    def __init__(self, data, cut_at=None, torn=False, once=False):
        self.data = bytearray(data)
        self.cut_at = cut_at
        self.torn = torn
        self.once = once
        self.writes = 0
        self.over = False

    def readblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        if self.over:
            for i in range(len(buf)):
                buf[i] = self.data[at + i]
        else:
            buf[:] = memoryview(self.data)[at : at + len(buf)]
        return 0

    def writeblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        if self.over:
            for i in range(len(buf)):
                self.data[at + i] = buf[i]
            return 0
        # Several blocks at once are several writes.
        for start in range(0, len(buf), BLOCK):
            if not self._write(at + start, memoryview(buf)[start : start + BLOCK]):
                return -_EIO
        return 0

    def _write(self, at, part):
        self.writes += 1
        if self.cut_at is None or self.writes < self.cut_at or (self.once and self.writes > self.cut_at):
            self.data[at : at + len(part)] = part
            return True
        if not self.torn:
            raise OSError(_EIO)
        if self.writes == self.cut_at:
            half = len(part) // 2
            self.data[at : at + half] = part[:half]
        return False

    def ioctl(self, operation, argument):
        if operation == 4:
            return len(self.data) // BLOCK
        if operation == 5:
            return BLOCK
        if operation == 6 and not self.over and not self._write(argument * BLOCK, _ERASED):
            return -_EIO
        return 0

    def finish(self):
        """The bytes as they are now. From here on nothing fails, or allocates: what is collected later
        closes its files, with the heap locked."""
        found = bytes(self.data)
        self.over = True
        return found


def formatted(system, blocks):
    """The bytes of an empty file system."""
    disk = Disk(bytes(blocks * BLOCK))
    SYSTEMS[system].mkfs(disk)
    return disk.finish()


def boot(system, data, action, cut_at=None, torn=False, once=False, readonly=False):
    """Mount a copy of `data` at PLACE and call action(). Returns the bytes afterwards, how many writes there
    were, and the OSError that ended it."""
    # While it runs nothing is collected: that closes files, and prints what a cut device says.
    gc.collect()
    gc.disable()
    disk = Disk(data, cut_at, torn, once)
    vfs.mount(SYSTEMS[system](disk), PLACE, readonly=readonly)
    error = None
    try:
        action()
    except OSError as caught:
        error = caught
    finally:
        vfs.umount(PLACE)
        data = disk.finish()
        gc.enable()
    return data, disk.writes, error


def fill(left):
    """Fill the file system at PLACE up to `left` free blocks, with a file "filler". Returns whether that many
    are left."""
    try:
        with open(PLACE + "/filler", "wb") as file:
            while _free() > left:
                file.write(_ERASED)
                file.flush()
    except OSError:
        pass
    return _free() == left


def _free():
    room = os.statvfs(PLACE)
    return room[0] * room[3] // BLOCK


BUILT = 1700000000
KEY = b"the key of the tags"
ROOTS = [certificate_der(stem) for stem in ("rsa_root", "ec_root", "twin_a")]
ADDED = certificate_der("ec384_path0")
OTHERS = CertStore(anchors.build([certificate_der(name) for name in ("leaf", "version1", "long_name")], 0))
TWIN = certificate_der("twin_b")
LAST = certificate_der("ski32")
LAST_SKI = CertStore(anchors.build([LAST], 0)).ski(0)
DEVICE = Stored("device", [certificate_der("ec_root")], vector("keys/ec_pkcs8.der"))


class Case:
    """An update of a device with this blob. name: a row of UPDATES. `old` and `new`: what the device shows
    before and after it; `done`: the writes of the update.

    removed: the SKI that is removed; incoming: the blob that replaces.
    """

    def __init__(self, system, name, blob, removed, incoming, blocks):
        self.system = system
        self.torn = False
        self.removed = removed
        self.incoming = incoming + tag(incoming, KEY)
        self._change = UPDATES[name]

        def put():
            with open(STORE, "wb") as file:
                file.write(blob)
            if name in PREPARED:
                PREPARED[name](self)

        self.data = self._booted(formatted(system, blocks), put)
        self.old = self.shown(self.data)
        data, self.done, error = boot(system, self.data, self.change)
        assert error is None, error
        self.new = self.shown(data)
        assert self.old != self.new

    def _booted(self, data, action):
        data, _, error = boot(self.system, data, action)
        if error is not None:
            raise error
        return data

    def change(self):
        opened = device()
        try:
            self._change(self, opened)
        finally:
            opened.close()

    def shown(self, data):
        """All that the store of this device shows."""
        found = []
        self._booted(data, lambda: found.append(look()))
        return found[0]

    def cut(self, number):
        """Cut the update at this write. Returns the bytes of the device, and whether it has the new store."""
        data, writes, error = boot(self.system, self.data, self.change, number, self.torn)
        assert writes >= number, "no write %d" % number
        shown = self.shown(data)
        assert shown == self.old or shown == self.new, "neither old nor new"
        is_new = shown == self.new
        # On FAT what fails cannot be read any more either: then it says so as it likes.
        assert error is None or isinstance(error, SecureSocketError) or is_new, repr(error)
        assert error is not None or is_new, "told to be done, and is not"
        return data, is_new

    def cut_again(self, data, is_new, number):
        """Cut the recovery of such a device at this write. Returns its bytes, or None if it has no such."""
        data, writes, _ = boot(self.system, data, self.recover, number, self.torn)
        shown = self.shown(data)
        assert shown == (self.new if is_new else self.old), "another store than after the first cut"
        return data if writes >= number else None

    def recover(self):
        """What a device does after a cut: it opens its store, and does the update again if it must."""
        opened = device()
        opened.verify()
        opened.close()

    def settle(self, data, is_new):
        """Boot such a device, make the update if it is not made, and one more: nothing is in their way."""

        def go_on():
            if not is_new:
                self.change()
            assert look() == self.new, "the update after the cut"
            opened = device()
            assert opened.add(LAST) == 1
            opened.verify()
            assert opened.find(LAST_SKI) >= 0
            opened.close()
            left = [name for name in os.listdir(PLACE) if name.endswith(JOURNAL) or name.endswith(STAGED)]
            assert not left, left

        self._booted(data, go_on)

    def space(self, left):
        """The update with this many free blocks. Returns whether it was made, or None if there is no room
        for a file that takes all others."""
        enough = []
        full = self._booted(self.data, lambda: enough.append(fill(left)))
        if not enough[0]:
            return None
        data, _, error = boot(self.system, full, self.change)
        assert error is None or (isinstance(error, StoreError) and error.code == "store-write"), repr(error)
        assert self.shown(data) == (self.old if error else self.new), "neither, with %d blocks" % left
        data = self._booted(data, lambda: os.remove(PLACE + "/filler"))
        self.settle(data, error is None)
        return error is None

    def stumble(self, number):
        """The update with one write that fails, in a program that goes on. Returns whether it told so."""
        told = []

        def go_on():
            opened = device()
            # Through its own store, as of a program that keeps it open.
            try:
                self._change(self, opened)
            except StoreError as error:
                told.append(error)
                if error.code == "store-write":
                    opened.verify()
            opened.close()

        data, writes, error = boot(self.system, self.data, go_on, number, True, once=True)
        assert error is None and writes >= number, repr(error)
        shown = self.shown(data)
        assert shown in (self.old, self.new)
        assert told or shown == self.new, "told to be done, and is not"
        self.settle(data, shown == self.new)
        return len(told)

    def no_room_to_copy(self):
        """All room is taken when the new store counts."""

        def go():
            opened = device()
            count = journal.counts

            def counts_and_fills(path):
                found = count(path)
                if found:
                    journal.counts = count
                    fill(0)
                return found

            journal.counts = counts_and_fills
            try:
                self._change(self, opened)
            finally:
                journal.counts = count
            opened.verify()
            assert opened.path + JOURNAL in [PLACE + "/" + name for name in os.listdir(PLACE)]
            for _ in range(2):
                try:
                    opened.add(ADDED)
                    raise AssertionError("where was there room?")
                except StoreError as error:
                    assert error.code == "store-write", repr(error)
            opened.close()

        data = self._booted(self.data, go)
        assert self.shown(data) == self.new
        data = self._booted(data, lambda: os.remove(PLACE + "/filler"))
        self.settle(data, True)


def look():
    """All that the device's store shows, whole: verified, with what is above it and without."""
    opened = device()
    opened.verify()
    found = [opened.build_time]
    for number in opened.numbers():
        found.append((opened.ski(number), bytes(opened.certificate(number))))
    for number in range(opened.identity_count):
        identity = opened.identity(number)
        found.append((identity.label, identity.chain, identity.key))
    opened.close()
    alone = CertStore(STORE)
    alone.verify()
    found.append(bytes(alone.copy(0, alone.size)))
    alone.close()
    return found


def device():
    """The store of the device: with the changes above it, where there are any."""
    base = CertStore(STORE, KEY)
    return LayeredStore(base, CHANGES) if is_store(CHANGES) else base


def _first_change(case, opened):
    opened.close()
    opened = LayeredStore(CertStore(STORE, KEY), CHANGES)
    try:
        opened.remove(case.removed)
    finally:
        opened.close()


def _with_changes(case):
    opened = LayeredStore(CertStore(STORE, KEY), CHANGES)
    opened.add(TWIN)
    opened.close()


# By name: what is done to the store that `device` gives.
UPDATES = {
    "add": lambda case, opened: opened.add(ADDED),
    "remove": lambda case, opened: opened.remove(case.removed),
    "merge": lambda case, opened: opened.merge(OTHERS),
    "replace": lambda case, opened: opened.replace(case.incoming),
    "add_identity": lambda case, opened: opened.add_identity("key", DEVICE.chain[0], DEVICE.key, plain=True),
    "remove_identity": lambda case, opened: opened.remove_identity("device"),
    "first change": _first_change,
    "change": lambda case, opened: opened.remove(case.removed),
    "replace below": lambda case, opened: opened.replace(case.incoming),
}
# Those that find more than the store.
PREPARED = {"change": _with_changes, "replace below": _with_changes}


def small(system, name):
    """A Case with a store of three roots and an identity, in a file system of 64 KB."""
    blob = anchors.build(ROOTS, BUILT, [DEVICE])
    removed = CertStore(anchors.build(ROOTS[:1], 0)).ski(0)
    return Case(system, name, blob, removed, anchors.build(ROOTS[:2] + [ADDED], BUILT + 1), 128)


def large(system, name, path):
    """A Case with the store in this file, and an identity, in a file system of 512 KB."""
    full = CertStore(path)
    every = [(full.ski(number), bytes(full.certificate(number))) for number in full.numbers()]
    blob = anchors.build(every, full.build_time, [DEVICE])
    incoming = anchors.build(every[1:], full.build_time + 1)
    return Case(system, name, blob, every[0][0], incoming, 1024)
