"""certstore.journal: an update is made at once or not at all, when power fails, room ends or flash lies."""

import binascii

from certstore import anchors, journal, layout
from certstore.errors import CorruptStore, StoreError
from certstore.store import CertStore
from folder import BUILT, DEVICE, EC, PATH0, RSA, TWIN_A, Folder, Patched, blob_of, get, names, put
from support import only_on_micropython, raises

OLD = anchors.build([RSA, EC], BUILT, [DEVICE])
NEW = anchors.build([RSA, EC, PATH0], BUILT, [DEVICE])
MARKED = NEW + layout.JOURNAL_MARK


def opened(path):
    """The bytes of the store at this path, verified."""
    store = CertStore(path)
    store.verify()
    found = blob_of(store)
    store.close()
    return found


def add(path, der=PATH0):
    store = CertStore(path)
    try:
        return store.add(der)
    finally:
        store.close()


# ---- power cuts, on both file systems of devices ----


def cut_everywhere(system, updates):
    only_on_micropython("file systems over a block device in Python")
    import power

    for name in updates:
        case = power.small(system, name)
        seen = [0, 0]
        for torn in (False, True):
            case.torn = torn
            for number in range(1, case.done + 1):
                data, is_new = case.cut(number)
                seen[is_new] += 1
                if not torn:
                    case.settle(data, is_new)
        assert seen[0] > case.done // 2 and seen[1], (name, seen)


SINGLE = ("add", "remove", "merge", "replace", "add_identity", "remove_identity")
LAYERED = ("first change", "change", "replace below")


def test_every_cut_of_an_update_on_littlefs():
    cut_everywhere("littlefs", SINGLE)


def test_every_cut_of_an_update_on_fat():
    cut_everywhere("FAT", SINGLE)


def test_every_cut_with_changes_above_a_base_on_littlefs():
    cut_everywhere("littlefs", LAYERED)


def test_every_cut_with_changes_above_a_base_on_fat():
    cut_everywhere("FAT", LAYERED)


def test_recovery_is_cut_too():
    only_on_micropython("file systems over a block device in Python")
    import power

    for system in power.SYSTEMS:
        for name in ("add", "replace"):
            case = power.small(system, name)
            recoveries = 0
            for number in range(1, case.done + 1):
                case.torn = number % 2 == 0
                data, is_new = case.cut(number)
                again = 1
                while True:
                    after = case.cut_again(data, is_new, again)
                    if after is None:
                        break
                    recoveries += 1
                    case.settle(after, is_new)
                    again += 3
            # Only what counts is copied when it is opened.
            assert recoveries > 20, recoveries


def test_a_write_that_fails_once():
    # No power is lost: the same program goes on, with the same store.
    only_on_micropython("file systems over a block device in Python")
    import power

    for system in power.SYSTEMS:
        case = power.small(system, "add")
        errors = 0
        for number in range(1, case.done + 1):
            errors += case.stumble(number)
        assert errors > case.done // 2, errors


def test_no_room():
    only_on_micropython("file systems over a block device in Python")
    import power

    for system in power.SYSTEMS:
        for name in ("add", "replace", "add_identity", "first change"):
            case = power.small(system, name)
            made = [case.space(left) for left in range(14)]
            assert made[-1] and False in made, (system, name, made)


def test_no_room_for_the_copy():
    # The new store is larger, and its last room is gone before it is copied to its place: it counts where
    # it is, and nothing overwrites it there.
    only_on_micropython("file systems over a block device in Python")
    import power

    for system in power.SYSTEMS:
        power.small(system, "merge").no_room_to_copy()


def test_a_file_system_that_is_read_only():
    only_on_micropython("file systems over a block device in Python")
    import power

    for system in power.SYSTEMS:
        for name in ("add", "remove", "merge", "replace", "add_identity", "first change", "change"):
            case = power.small(system, name)
            data, writes, error = power.boot(system, case.data, case.change, readonly=True)
            assert isinstance(error, StoreError) and error.code == "store-read-only", (name, repr(error))
            assert writes == 0 and data == case.data


def test_an_update_that_counts_is_read_where_nothing_can_be_written():
    only_on_micropython("file systems over a block device in Python")
    import power

    for system in power.SYSTEMS:
        case = power.small(system, "add")
        waiting = 0
        for number in range(1, case.done + 1):
            data, is_new = case.cut(number)
            found = []
            data, _, error = power.boot(
                system,
                data,
                lambda: found.append(power.look()),  # noqa: B023
                readonly=True,
            )
            assert error is None and found == [case.new if is_new else case.old], repr(error)
            # littlefs erases blocks all the same, free ones.
            assert case.shown(data) == found[0]
            waiting += is_new
        assert waiting


# ---- what lies beside the store, on any file system ----


def test_files_are_as_before_when_nothing_changes():
    with Folder() as folder:
        put(folder + "s", OLD)
        assert add(folder + "s", EC) == 0
        assert get(folder + "s") == OLD and names(folder) == ["s"]


def test_an_update_leaves_one_file():
    with Folder() as folder:
        put(folder + "s", OLD)
        assert add(folder + "s") == 1
        assert get(folder + "s") == NEW and names(folder) == ["s"]


def test_an_update_that_does_not_count_is_ignored():
    rows = (
        ("nothing", b""),
        ("less than a header", NEW[:95]),
        ("half of it", NEW[: len(NEW) // 2]),
        ("no mark", NEW),
        ("a mark cut short", MARKED[:-1]),
        ("another mark", NEW + b"complets"),
        ("a mark alone", layout.JOURNAL_MARK),
        ("a mark, and more", MARKED + b"\0"),
        ("a mark behind half of it", NEW[: len(NEW) // 2] + layout.JOURNAL_MARK),
    )
    for why, data in rows:
        with Folder() as folder:
            put(folder + "s", OLD)
            put(folder + "s.new", data)
            assert opened(folder + "s") == OLD, why
            assert add(folder + "s") == 1, why
            assert get(folder + "s") == NEW and names(folder) == ["s"], why


def test_every_byte_of_an_update_must_be_right():
    with Folder() as folder:
        put(folder + "s", OLD)
        for at in range(len(MARKED)):
            changed = bytearray(MARKED)
            changed[at] ^= 0x10
            put(folder + "s.new", changed)
            assert not journal.counts(folder + "s.new"), at
        assert opened(folder + "s") == OLD


def test_an_update_that_counts_is_finished_when_the_store_is_opened():
    for before in (None, b"", OLD[:200], OLD, NEW[:300], NEW):
        with Folder() as folder:
            if before is not None:
                put(folder + "s", before)
            put(folder + "s.new", MARKED)
            assert opened(folder + "s") == NEW
            assert get(folder + "s") == NEW and names(folder) == ["s"]


def test_a_folder_in_the_place_of_the_update():
    import os

    with Folder() as folder:
        put(folder + "s", OLD)
        os.mkdir(folder + "s.new")
        assert opened(folder + "s") == OLD
        raises(StoreError, "store-write", add, folder + "s")
        assert opened(folder + "s") == OLD
        os.rmdir(folder + "s.new")


def test_debris_is_removed_with_the_next_update():
    with Folder() as folder:
        put(folder + "s", OLD)
        put(folder + "s.in", b"a replacement that power was lost in")
        put(folder + "s.new", NEW[:100])
        assert add(folder + "s") == 1
        assert names(folder) == ["s"]


class Stuck:
    """An `os` whose files cannot be removed."""

    def __init__(self, suffix):
        self._suffix = suffix

    def remove(self, path):
        import os

        if path.endswith(self._suffix):
            raise OSError(13, "stuck")
        os.remove(path)


def test_a_store_that_cannot_be_removed():
    with Folder() as folder:
        put(folder + "s", OLD)
        with Patched(journal, "os", Stuck("/s")):
            store = CertStore(folder + "s")
            assert store.add(PATH0) == 1
            # It counts, and is read where it is.
            store.verify()
            assert blob_of(store) == NEW
            # One more would overwrite the only copy of it.
            raises(StoreError, "store-write", store.add, TWIN_A)
            raises(StoreError, "store-write", store.replace, anchors.build([RSA], BUILT + 1))
            assert blob_of(store) == NEW and opened(folder + "s") == NEW
            store.close()
        assert get(folder + "s.new") == MARKED
        assert opened(folder + "s") == NEW and names(folder) == ["s"]
        assert add(folder + "s", TWIN_A) == 1


def test_an_update_that_cannot_be_removed():
    with Folder() as folder:
        put(folder + "s", OLD)
        with Patched(journal, "os", Stuck(".new")):
            store = CertStore(folder + "s")
            assert store.add(PATH0) == 1
            assert blob_of(store) == NEW
            raises(StoreError, "store-write", store.add, TWIN_A)
            assert blob_of(store) == NEW
            store.close()
            assert opened(folder + "s") == NEW
        assert opened(folder + "s") == NEW and names(folder) == ["s"]


def test_a_failed_update_whose_file_cannot_be_removed():
    with Folder() as folder:
        put(folder + "s", OLD)
        with Patched(journal, "os", Stuck(".new")), Patched(journal, "open", Flash(fails_at=2).open):
            error = raises(StoreError, "store-write", add, folder + "s")
        assert error.errno == 5 and opened(folder + "s") == OLD
        assert add(folder + "s") == 1 and names(folder) == ["s"]


class Flash:
    """An `open` whose files write something else. lies_at: the number of the write, from 1, of which one bit
    is another in flash; short_at: of the one that writes less; fails_at: of the one that fails."""

    def __init__(self, lies_at=None, short_at=None, fails_at=None):
        self.count = 0
        self.lies_at = lies_at
        self.short_at = short_at
        self.fails_at = fails_at

    def open(self, path, mode):
        return _File(self, open(path, mode))


class _File:
    def __init__(self, flash, file):
        self._flash = flash
        self._file = file
        self.read, self.readinto, self.seek = file.read, file.readinto, file.seek

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def write(self, data):
        flash = self._flash
        flash.count += 1
        if flash.count == flash.fails_at:
            raise OSError(28, "full")
        if flash.count == flash.short_at:
            return self._file.write(data[:-1])
        if flash.count == flash.lies_at:
            data = bytearray(data)
            data[-1] ^= 1
        return self._file.write(data)


def writes_of_an_update():
    with Folder() as folder:
        put(folder + "s", OLD)
        flash = Flash()
        with Patched(journal, "open", flash.open):
            add(folder + "s")
        return flash.count


def test_what_flash_made_something_else_of():
    outcomes = {True: 0, False: 0}
    for name in ("lies_at", "short_at", "fails_at"):
        for number in range(1, writes_of_an_update() + 1):
            with Folder() as folder:
                put(folder + "s", OLD)
                with Patched(journal, "open", Flash(**{name: number}).open):
                    try:
                        made = add(folder + "s") == 1
                    except StoreError as error:
                        assert error.code == "store-write"
                        made = False
                    assert opened(folder + "s") == (NEW if made else OLD), (name, number)
                assert opened(folder + "s") == (NEW if made else OLD), (name, number)
                outcomes[made] += 1
                assert add(folder + "s", TWIN_A) == 1
    # Before the mark, and behind it.
    assert outcomes[True] > 10 and outcomes[False] > 10


def test_a_flash_that_always_lies():
    with Folder() as folder:
        put(folder + "s", OLD)

        class Lies(Flash):
            def open(self, path, mode):
                self.count, self.lies_at = 0, 1
                return Flash.open(self, path, mode)

        with Patched(journal, "open", Lies().open):
            raises(StoreError, "store-write", add, folder + "s")
            assert opened(folder + "s") == OLD
        assert names(folder) == ["s"]


def test_the_mark_comes_when_all_else_has_been_read_back():
    events = []

    class Watched(Flash):
        def open(self, path, mode):
            events.append((path[-4:], mode))
            return Flash.open(self, path, mode)

    with Folder() as folder:
        put(folder + "s", OLD)
        with Patched(journal, "open", Watched().open):
            add(folder + "s")
        events = [event for event in events[events.index((".new", "wb")) :] if event[0] == ".new"]
        assert [mode for _, mode in events] == ["wb", "rb", "ab", "rb", "rb"], events


def test_an_update_of_a_damaged_store_writes_nothing():
    with Folder() as folder:
        for at in range(layout.HEADER_LENGTH, len(OLD)):
            damaged = bytearray(OLD)
            damaged[at] ^= 0x40 if at % 2 else 1
            put(folder + "s", damaged)
            store = CertStore(folder + "s")
            for change in (store.add, store.remove):
                try:
                    change(PATH0 if change == store.add else store.ski(0))
                except CorruptStore:
                    continue
                raise AssertionError("byte %d" % at)
            store.close()
            assert get(folder + "s") == damaged and names(folder) == ["s"]


def test_crc_of_a_journal_is_no_crc_of_the_store():
    # A mark is no part of the blob: one that ends in the mark's bytes is not taken for a journal.
    assert binascii.crc32(layout.JOURNAL_MARK) != layout.GOOD_CRC
    with Folder() as folder:
        put(folder + "s", MARKED)
        raises(CorruptStore, "store-truncated", CertStore, folder + "s")
