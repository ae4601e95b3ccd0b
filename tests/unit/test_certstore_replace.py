"""certstore.replace: a new store is taken if it is authentic, whole and of its time, else refused."""

import hashlib
import io

from certstore import anchors, blob, layout, replace
from certstore.errors import CorruptStore, SecureSocketError, StoreError
from certstore.identities import Stored
from certstore.layers import LayeredStore
from certstore.store import CertStore
from folder import (
    BUILT,
    DEVICE,
    EC,
    LEAF,
    PATH0,
    PLAIN_KEY,
    RSA,
    TWIN_A,
    Folder,
    Patched,
    blob_of,
    get,
    names,
    put,
    shown,
    shown_of,
)
from support import ON_MICROPYTHON, raises, vector

KEY = b"0123456789abcdef"
OLD = anchors.build([RSA, EC], BUILT)
NEW = anchors.build([RSA, PATH0, LEAF], BUILT + 10)
TAGGED = NEW + replace.tag(NEW, KEY)
DAY = 86400


def clock(at):
    return Patched(replace, "unix_time", lambda: at)


class Device:
    """A store in a file of its own; the source is taken, or refused with all files as they were."""

    def __init__(self, data=OLD, tag_key=None):
        self._folder = Folder()
        self.data = data
        self._tag_key = tag_key

    def __enter__(self):
        self.folder = self._folder.__enter__()
        put(self.folder + "s", self.data)
        self.store = CertStore(self.folder + "s", self._tag_key)
        return self

    def __exit__(self, *error):
        self.store.close()
        self._folder.__exit__(*error)

    def takes(self, source, expected=NEW, older=False):
        self.store.replace(source, older)
        self.store.verify()
        assert blob_of(self.store) == get(self.folder + "s") == expected
        assert names(self.folder) == ["s"]

    def refuses(self, source, kind, code, older=False):
        error = raises(kind, code, self.store.replace, source, older)
        assert blob_of(self.store) == get(self.folder + "s") == self.data
        assert names(self.folder) == ["s"]
        self.store.verify()
        return error


class Stream:
    """Gives `data` in pieces of `size` bytes; ends it with `end`: nothing, None for good, or an OSError."""

    def __init__(self, data, size, end=0):
        self._data = data
        self._size = size
        self._end = end

    def readinto(self, buffer):
        part = self._data[: min(self._size, len(buffer))]
        self._data = self._data[len(part) :]
        if not part and isinstance(self._end, Exception):
            raise self._end
        if not part:
            return self._end
        buffer[: len(part)] = part
        return len(part)


def sources(data, folder):
    """The same bytes, in every form that is taken."""
    put(folder + "source", data)
    yield data
    yield bytearray(data)
    yield memoryview(data)
    yield folder + "source"
    yield io.BytesIO(data)
    for size in (1, 2, 31, 32, 33, 255, 256, 257, 10000):
        yield Stream(data, size)


def test_every_form_of_source():
    with Folder() as outside:
        for tag_key, data in ((None, NEW), (KEY, TAGGED)):
            for source in sources(data, outside):
                with Device(tag_key=tag_key) as device:
                    device.takes(source)
                    assert shown(device.store) == shown_of(RSA, PATH0, LEAF)
                    assert device.store.build_time == BUILT + 10
        assert get(outside + "source") == TAGGED


def test_a_source_in_an_open_file():
    with Folder() as outside:
        put(outside + "source", TAGGED)
        with open(outside + "source", "rb") as file, Device(tag_key=KEY) as device:
            device.takes(file)


def test_no_source():
    with Device() as device:
        error = device.refuses("no-such-folder/roots.bin", StoreError, "store-file")
        assert "no-such-folder/roots.bin" in error.found
        for empty in (b"", io.BytesIO(b""), Stream(b"", 1), Stream(b"", 1, None)):
            device.refuses(empty, CorruptStore, "store-magic")


def test_a_source_that_ends_early():
    for end, tagged, plain in (
        (0, "store-tag", "store-truncated"),
        (None, "store-tag", "store-truncated"),
        (OSError(104, "reset"), "store-write", "store-write"),
        (StoreError("store-file"), "store-file", "store-file"),
    ):
        for stop in (1, 20, 96, 97, len(NEW) - 1):
            with Device(tag_key=KEY) as device:
                device.refuses(Stream(TAGGED[:stop], 50, end), StoreError, tagged)
            with Device() as device:
                error = raises_any(device, Stream(NEW[:stop], 50, end))
                assert error.code == plain or (stop < 8 and error.code == "store-magic"), repr(error)


def raises_any(device, source):
    try:
        device.store.replace(source)
    except StoreError as error:
        assert get(device.folder + "s") == OLD and names(device.folder) == ["s"]
        return error
    raise AssertionError("taken")


def test_an_error_of_the_source_is_told_as_it_is():
    class Lost(SecureSocketError):
        pass

    with Device() as device:
        device.refuses(Stream(NEW[:300], 50, Lost("closed")), Lost, "closed")


# ---- the tag ----


def test_tags_are_hmac_sha256():
    # RFC 4231's keys: shorter than a block, of a block, longer than one.
    keys = (b"", b"\x0b" * 20, b"Jefe", bytes(range(1, 26)), b"k" * 63, b"k" * 64, b"k" * 65, b"\xaa" * 131)
    for key in keys:
        mac = replace.Hmac(key)
        mac.update(b"what do ya want ")
        mac.update(b"for nothing?")
        found = mac.digest()
        assert found == naive(key, b"what do ya want for nothing?"), key
        if key == b"Jefe":
            assert found.hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        assert replace.tag(NEW, key) == naive(key, b"securesocket store replacement 1\0" + NEW)
        if not ON_MICROPYTHON:
            import hmac

            assert replace.tag(NEW, key) == hmac.new(key, replace.PURPOSE + NEW, hashlib.sha256).digest()
        with Device(tag_key=key) as device:
            device.takes(NEW + replace.tag(NEW, key))


def naive(key, text):
    """RFC 2104 as it is written."""
    key = hashlib.sha256(key).digest() if len(key) > 64 else key
    key = key + bytes(64 - len(key))
    inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in key]) + text).digest()
    return hashlib.sha256(bytes([byte ^ 0x5C for byte in key]) + inner).digest()


class Parsed(Exception):
    pass


def never(*_):
    raise Parsed("before the tag held")


def test_every_byte_counts():
    with Device(tag_key=KEY) as device, Patched(replace, "CertStore", never):
        for at in range(len(TAGGED)):
            changed = bytearray(TAGGED)
            changed[at] ^= 1 << at % 8
            raises(StoreError, "store-tag", device.store.replace, changed)
        assert blob_of(device.store) == get(device.folder + "s") == OLD and names(device.folder) == ["s"]


def test_nothing_is_parsed_before_the_tag_holds():
    nonsense = b"no store at all, and of some length: 1234567890"
    rows = (
        (b"", "nothing"),
        (b"x", "one byte"),
        (NEW, "no tag"),
        (OLD, "the old store, no tag"),
        (TAGGED[:-1], "a tag cut short"),
        (TAGGED + b"\0", "more behind the tag"),
        (TAGGED[:-33] + TAGGED[-32:], "a store cut short"),
        (TAGGED[1:], "a store that begins later"),
        (NEW + bytes(32), "zeros"),
        (NEW + replace.tag(NEW, b"another key"), "a tag under another key"),
        (NEW + replace.tag(OLD, KEY), "the tag of another store"),
        (NEW + naive(KEY, NEW), "a tag without its purpose"),
        (NEW + hashlib.sha256(replace.PURPOSE + NEW).digest(), "a hash"),
        (b"\0" + TAGGED[1:], "a magic that is none"),
        (replace.tag(b"", KEY)[:31], "less than a tag"),
        (replace.tag(NEW, KEY) + NEW, "the tag in front"),
        (NEW + replace.tag(NEW, KEY).hex().encode(), "the tag in hex"),
    )
    with Device(tag_key=KEY) as device, Patched(replace, "CertStore", never):
        for data, why in rows:
            device.refuses(data, StoreError, "store-tag")
        for stop in range(len(TAGGED)):
            raises(StoreError, "store-tag", device.store.replace, TAGGED[:stop])
        # Where the tag holds, this shows that the store would have been parsed.
        try:
            device.store.replace(TAGGED)
            raise AssertionError("not parsed")
        except Parsed:
            pass
    with Device(tag_key=KEY) as device:
        device.refuses(replace.tag(b"", KEY), CorruptStore, "store-magic")
        device.refuses(nonsense + replace.tag(nonsense, KEY), CorruptStore, "store-magic")


def test_the_tag_is_of_what_flash_gives_back():
    # What the source gave is right, what was written is not.
    def lying(path, mode):
        file = open(path, mode)
        if mode == "wb":
            return Lying(file)
        return file

    class Lying:
        def __init__(self, file):
            self._file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def write(self, data):
            changed = bytearray(data)
            changed[len(changed) // 2] ^= 1
            return self._file.write(changed)

    with Device(tag_key=KEY) as device:
        with Patched(replace, "open", lying):
            device.refuses(TAGGED, StoreError, "store-tag")
        device.takes(TAGGED)
    with Device() as device, Patched(replace, "open", lying):
        raises_any(device, NEW)


def test_tags_are_compared_in_constant_time():
    compared = []

    def same(a, b):
        compared.append((bytes(a), bytes(b)))
        return True

    with Device(tag_key=KEY) as device, Patched(replace, "same", same):
        device.takes(NEW + b"t" * 32)
    assert compared == [(b"t" * 32, replace.tag(NEW, KEY))]


def test_a_key_once_set_is_demanded_for_good():
    newer = anchors.build([EC], BUILT + 20)
    with Device(tag_key=bytearray(KEY)) as device:
        device.takes(TAGGED)
        raises(StoreError, "store-tag", device.store.replace, newer)
        device.store.add(PATH0)
        device.store.remove(device.store.ski(0))
        raises(StoreError, "store-tag", device.store.replace, newer)
        raises(StoreError, "store-tag", lambda: device.store.replace(newer, older=True))
        device.store.close()
        raises(StoreError, "store-tag", device.store.replace, newer)
        device.takes(newer + replace.tag(newer, KEY), newer)


def test_a_key_is_never_shown():
    with Device(tag_key=KEY) as device:
        error = device.refuses(NEW, StoreError, "store-tag")
        for text in (str(error), repr(error), repr(device.store)):
            assert "0123456789" not in text and KEY.hex() not in text


def test_a_tag_where_none_is_demanded_is_no_part_of_a_store():
    with Device() as device:
        device.refuses(TAGGED, CorruptStore, "store-truncated")


# ---- the store ----


def test_a_damaged_store_is_refused():
    with Device() as device:
        for at in range(len(NEW)):
            changed = bytearray(NEW)
            changed[at] ^= 1 << at % 8
            try:
                device.store.replace(changed)
            except StoreError:
                continue
            raise AssertionError("byte %d" % at)
        for stop in range(0, len(NEW), 7):
            raises_any(device, NEW[:stop])
        assert blob_of(device.store) == get(device.folder + "s") == OLD and names(device.folder) == ["s"]


def test_what_is_checked_first():
    # Tag, store, older, future: each of these has the faults of all that follow.
    future = BUILT + 1000 * DAY
    damaged = bytearray(anchors.build([RSA], BUILT - 1))
    damaged[-1] ^= 1
    old = anchors.build([RSA], BUILT - 1)
    with Device(tag_key=KEY) as device, clock(BUILT - DAY - 2):
        device.refuses(damaged, StoreError, "store-tag")
        device.refuses(damaged + replace.tag(damaged, KEY), CorruptStore, "store-check")
        device.refuses(old + replace.tag(old, KEY), StoreError, "store-older")
    new = anchors.build([RSA], future)
    with Device(tag_key=KEY) as device, clock(BUILT):
        device.refuses(new + replace.tag(new, KEY), StoreError, "store-future")


# ---- its build time ----


def test_older_and_newer():
    rows = (
        (BUILT - 1, False, "store-older"),
        (BUILT - 1, True, None),
        (0, False, "store-older"),
        (0, True, None),
        (BUILT, False, None),
        (BUILT + 1, False, None),
    )
    for built, older, code in rows:
        for now in (0, BUILT - 1, BUILT + 100 * DAY):
            blob_then = anchors.build([PATH0], built)
            with Device() as device, clock(now):
                if code is None:
                    device.takes(blob_then, blob_then, older)
                else:
                    error = device.refuses(blob_then, StoreError, code, older)
                    assert "2023-11-14 22:13:20 UTC" in error.expected and "older=True" in error.remedy


def test_the_future():
    now = BUILT + 5 * DAY
    rows = (
        (now, now + DAY, True),
        (now, now + DAY + 1, False),
        (now, now + 1000 * DAY, False),
        # The clock is set if it is past the build time of the store that is there.
        (BUILT, BUILT + DAY, True),
        (BUILT, BUILT + DAY + 1, False),
        (BUILT - 1, BUILT + DAY + 1, True),
        (0, now + 1000 * DAY, True),
        (now, 2**63, False),
        (now, 2**64 - 1, False),
    )
    for at, built, taken in rows:
        blob_then = anchors.build([PATH0], built)
        for older in (False, True):
            with Device() as device, clock(at):
                if taken:
                    device.takes(blob_then, blob_then, older)
                else:
                    error = device.refuses(blob_then, StoreError, "store-future", older)
                    assert "clock" in error.remedy


def test_an_older_store_may_be_of_the_future():
    # Of a device whose store is of the future, and its clock right: the next one is older.
    there = anchors.build([RSA], BUILT + 1000 * DAY)
    with Device(there) as device, clock(BUILT + DAY):
        device.refuses(NEW, StoreError, "store-older")
        device.takes(NEW, NEW, True)
        newer = anchors.build([RSA], BUILT + 3 * DAY)
        raises(StoreError, "store-future", device.store.replace, newer)
        assert get(device.folder + "s") == NEW


# ---- identities ----


def test_identities_stay():
    other = Stored("another", [EC], PLAIN_KEY)
    with Device(anchors.build([RSA], BUILT, [DEVICE])) as device:
        device.takes(NEW, anchors.build([RSA, PATH0, LEAF], BUILT + 10, [DEVICE]))
        # Those of the new store come first.
        with_one = anchors.build([EC], BUILT + 10, [other])
        device.takes(with_one, anchors.build([EC], BUILT + 10, [other, DEVICE]))
        device.takes(with_one, anchors.build([EC], BUILT + 10, [other, DEVICE]))
        assert device.store.find_identity("device") == 1


def test_a_new_identity_of_the_same_label_counts():
    rsa_key = vector("keys/rsa_pkcs8.der")
    with Device(anchors.build([RSA], BUILT, [DEVICE])) as device:
        chain, _ = device.store.private_identity("device")
        assert chain == [EC]
        new = anchors.build([EC], BUILT, [Stored("device", [RSA], rsa_key)])
        device.takes(new, new)
        chain, key = device.store.private_identity("device")
        assert (chain, key) == ([RSA], vector("keys/rsa_pkcs1.der"))


def test_a_decrypted_key_is_forgotten_with_its_identity():
    # Else a chain would go with the key of the one before.
    locked = vector("keys/encrypted_aes256.der")
    with Device(anchors.build([RSA], BUILT, [Stored("device", [EC], locked)])) as device:
        assert device.store.unlock("password") == 1
        held = device.store.keys["device"]
        device.store.replace(NEW)
        assert device.store.private_identity("device")[0] == [EC]
        new = anchors.build([RSA], BUILT + 10, [Stored("device", [RSA], vector("keys/rsa_pkcs8.der"))])
        device.store.replace(new)
        assert device.store.private_identity("device") == ([RSA], vector("keys/rsa_pkcs1.der"))
        new = anchors.build([RSA], BUILT + 10, [Stored("device", [EC], locked)])
        device.store.replace(new)
        raises(StoreError, "identity-locked", device.store.private_identity, "device")
        assert not any(held)


def test_what_hides_others_comes_with_the_new_store():
    new = anchors.build([EC], BUILT, (), [(b"\1" * 20, b"abcd")])
    with Device() as device:
        device.takes(new, new)


# ---- a file system that does not do what it should ----


def test_no_room_to_stage():
    class Full:
        def __init__(self, room):
            self.room = room

        def open(self, path, mode):
            file = open(path, mode)
            return Short(self, file) if mode == "wb" else file

    class Short:
        def __init__(self, full, file):
            self._full = full
            self._file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def write(self, data):
            part = data[: self._full.room]
            self._full.room -= len(part)
            return self._file.write(part)

    with Device(tag_key=KEY) as device:
        for room in range(0, len(NEW), 41):
            with Patched(replace, "open", Full(room).open):
                device.refuses(TAGGED, StoreError, "store-write")
        device.takes(TAGGED)


def test_a_staged_file_that_cannot_be_removed():
    from certstore import journal

    class Stuck:
        def remove(self, path):
            import os

            if path.endswith(layout.STAGED):
                raise OSError(13, "stuck")
            os.remove(path)

    with Device(tag_key=KEY) as device:
        with Patched(journal, "os", Stuck()):
            raises(StoreError, "store-tag", device.store.replace, NEW)
            assert names(device.folder) == ["s", "s.in"]
            device.store.replace(TAGGED)
            assert blob_of(device.store) == get(device.folder + "s") == NEW
        # The next change removes it.
        assert device.store.add(TWIN_A) == 1
        assert names(device.folder) == ["s"]


def test_a_staged_file_of_before_is_no_part_of_the_new_one():
    with Device(tag_key=KEY) as device:
        put(device.folder + "s.in", TAGGED + TAGGED)
        device.takes(TAGGED)


def test_files_are_read_only():
    def refused(path, mode):
        if mode != "rb":
            raise OSError(30, "read-only")
        return open(path, mode)

    with Device() as device, Patched(replace, "open", refused):
        device.refuses(NEW, StoreError, "store-read-only")


def test_a_base_that_is_frozen_gets_a_file():
    with Folder() as folder:
        store = LayeredStore(CertStore(OLD), folder + "changes", folder + "s", KEY)
        raises(StoreError, "store-tag", store.replace, NEW)
        assert names(folder) == []
        store.replace(TAGGED)
        assert names(folder) == ["s"] and get(folder + "s") == NEW
        assert shown(store) == shown_of(RSA, PATH0, LEAF)
        assert blob.is_store(folder + "s")
        store.close()
