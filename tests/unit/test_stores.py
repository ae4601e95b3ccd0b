"""securesocket.stores: which store a device has, and where its changes go."""

import os
import sys

import securesocket.stores as stores
from certstore import anchors, layout, replace
from certstore.errors import CorruptStore, StoreError
from certstore.store import CertStore
from folder import (
    BUILT,
    DEVICE,
    EC,
    PATH0,
    PLAIN_KEY,
    RSA,
    TWIN_A,
    Folder,
    Patched,
    get,
    names,
    put,
    shown,
    shown_of,
    ski_of,
)
from securesocket.context import SecureContext
from securesocket.errors import ConfigurationError
from support import raises

IN_FILE = anchors.build([RSA, TWIN_A], BUILT)
ELSEWHERE = anchors.build([TWIN_A], BUILT)
FROZEN = anchors.build([EC, TWIN_A], BUILT)
IN_ROM = anchors.build([PATH0, TWIN_A], BUILT)
NEWER = anchors.build([RSA, EC, PATH0, TWIN_A], BUILT + 1)
MODULE = "roots_of_a_test"


class Module:
    def __init__(self, data):
        self.DATA = data


class Device:
    """What default_store looks at: the working folder is `folder`, another one `lib`; nothing is frozen, or
    in ROMFS, until it is put there."""

    def __enter__(self):
        self._folders = [Folder(), Folder()]
        self.folder, self.lib = [folder.__enter__() for folder in self._folders]
        self._before = os.getcwd()
        os.chdir(self.folder)
        self._patches = [
            Patched(stores, "STORE_FILES", ("roots.bin", self.lib + "roots.bin")),
            Patched(stores, "STORE_MODULE", MODULE),
            Patched(stores, "ROM_FILE", self.folder + "rom.bin"),
            Patched(stores, "_store", None),
        ]
        for patch in self._patches:
            patch.__enter__()
        return self

    def freeze(self, data):
        sys.modules[MODULE] = Module(data)

    def again(self):
        """The store of the device, as after a reset."""
        if stores._store is not None:
            stores._store.close()
            stores._store = None
        return stores.default_store()

    def shows(self, *ders):
        store = self.again()
        store.verify()
        assert shown(store) == shown_of(*ders)
        assert stores.default_store() is store
        return store

    def refuses(self, kind, code):
        if stores._store is not None:
            stores._store.close()
            stores._store = None
        error = raises(kind, code, stores.default_store)
        assert stores._store is None
        return error

    def __exit__(self, *_):
        if stores._store is not None:
            stores._store.close()
        for patch in self._patches:
            patch.__exit__()
        sys.modules.pop(MODULE, None)
        os.chdir(self._before)
        for folder in self._folders:
            folder.__exit__()


def test_no_store():
    with Device() as device:
        error = device.refuses(ConfigurationError, "no-store")
        assert "roots.bin" in error.found and MODULE in error.found
        assert names(device.folder) == []


def test_a_file_comes_first_then_what_is_frozen_then_romfs():
    with Device() as device:
        put(device.folder + "rom.bin", IN_ROM)
        device.shows(PATH0, TWIN_A)
        device.freeze(FROZEN)
        device.shows(EC, TWIN_A)
        put(device.lib + "roots.bin", ELSEWHERE)
        device.shows(TWIN_A)
        put("roots.bin", IN_FILE)
        device.shows(RSA, TWIN_A)
        os.remove("roots.bin")
        os.remove(device.lib + "roots.bin")
        device.shows(EC, TWIN_A)


def test_a_damaged_store_is_no_reason_to_take_another():
    for change in (lambda data: data[:-1], lambda data: b"", lambda data: b"x" + data[1:]):
        with Device() as device:
            put(device.folder + "rom.bin", change(IN_ROM))
            device.refuses(CorruptStore, "store-truncated" if change(b"xx") == b"x" else "store-magic")
        with Device() as device:
            put(device.folder + "rom.bin", IN_ROM)
            device.freeze(change(FROZEN))
            device.refuses(CorruptStore, "store-truncated" if change(b"xx") == b"x" else "store-magic")
        for name in ("roots.bin", "lib"):
            with Device() as device:
                put(device.folder + "rom.bin", IN_ROM)
                device.freeze(FROZEN)
                put(device.lib + "roots.bin", ELSEWHERE if name != "lib" else change(ELSEWHERE))
                if name != "lib":
                    put(name, change(IN_FILE))
                device.refuses(CorruptStore, "store-truncated" if change(b"xx") == b"x" else "store-magic")


def test_damaged_changes_are_no_reason_to_leave_them_out():
    with Device() as device:
        device.freeze(FROZEN)
        device.again().remove(ski_of(EC))
        good = get("roots-changes.bin")
        for data, code in ((good[:-1], "store-truncated"), (b"", "store-magic")):
            put("roots-changes.bin", data)
            device.refuses(CorruptStore, code)
        put("roots-changes.bin", good)
        device.shows(TWIN_A)


def test_a_module_that_fails_is_no_reason_to_take_another():
    with Device() as device:
        put(device.folder + "rom.bin", IN_ROM)
        put(device.folder + MODULE + ".py", b"import something_that_is_missing\n")
        sys.path.insert(0, device.folder)
        try:
            device.again()
            raise AssertionError("taken")
        except ImportError as error:
            assert "something_that_is_missing" in str(error)
        finally:
            sys.path.pop(0)
            if "__pycache__" in os.listdir(device.folder):
                for name in os.listdir(device.folder + "__pycache__"):
                    os.remove(device.folder + "__pycache__/" + name)
                os.rmdir(device.folder + "__pycache__")


def test_an_update_that_waits():
    with Device() as device:
        device.freeze(FROZEN)
        # It does not count: as if it were not there.
        put("roots.bin.new", IN_FILE)
        device.shows(EC, TWIN_A)
        put("roots.bin", IN_FILE)
        put("roots.bin.new", NEWER)
        device.shows(RSA, TWIN_A)
        # It counts, beside the old one and without it.
        put("roots.bin.new", NEWER + layout.JOURNAL_MARK)
        device.shows(RSA, EC, PATH0, TWIN_A)
        assert get("roots.bin") == NEWER and names(device.folder) == ["roots.bin"]
        os.remove("roots.bin")
        device.shows(EC, TWIN_A)
        put("roots.bin.new", NEWER + layout.JOURNAL_MARK)
        device.shows(RSA, EC, PATH0, TWIN_A)
        assert get("roots.bin") == NEWER and names(device.folder) == ["roots.bin"]


def test_changes_stay_above_every_base():
    with Device() as device:
        device.freeze(FROZEN)
        device.again().remove(ski_of(EC))
        stores.default_store().add(PATH0)
        stores.default_store().add_identity("device", EC, PLAIN_KEY, plain=True)
        assert names(device.folder) == ["roots-changes.bin"]
        device.shows(TWIN_A, PATH0)
        # A newer firmware, which has it again.
        device.freeze(NEWER)
        store = device.again()
        assert store.find(ski_of(EC)) == -1 and store.private_identity("device")[0] == [EC]
        # A file in its place.
        put("roots.bin", anchors.build([RSA, EC], BUILT))
        device.shows(RSA, PATH0)
        store = stores.default_store()
        store.replace(anchors.build([EC], BUILT + 9, [DEVICE]))
        device.shows(PATH0)
        assert names(device.folder) == ["roots-changes.bin", "roots.bin"]


def test_changes_lie_beside_a_base_that_is_a_file():
    with Device() as device:
        put(device.lib + "roots.bin", ELSEWHERE)
        device.again().add(RSA)
        device.shows(RSA, TWIN_A)
        stores.default_store().replace(NEWER)
        assert names(device.lib) == ["roots-changes.bin", "roots.bin"] and names(device.folder) == []
        assert get(device.lib + "roots.bin") == NEWER


def test_replace_puts_a_file_in_front_of_what_cannot_be_written():
    for where in ("frozen", "rom"):
        with Device() as device:
            if where == "rom":
                put(device.folder + "rom.bin", IN_ROM)
            else:
                device.freeze(FROZEN)
            store = device.again()
            raises(StoreError, "store-older", store.replace, anchors.build([RSA], BUILT - 1))
            store.replace(NEWER)
            assert shown(store) == shown_of(RSA, EC, PATH0, TWIN_A)
            assert get("roots.bin") == NEWER
            device.shows(RSA, EC, PATH0, TWIN_A)
            if where == "rom":
                assert get("rom.bin") == IN_ROM


def test_a_tag_is_demanded_of_the_device_s_store():
    with Device() as device:
        device.freeze(FROZEN)
        store = device.again()
        store.tag_key = b"key"
        raises(StoreError, "store-tag", store.replace, NEWER)
        assert names(device.folder) == []
        store.replace(NEWER + replace.tag(NEWER, b"key"))
        raises(StoreError, "store-tag", store.replace, NEWER)


def test_folders_of_devices():
    class Platform:
        platform = "rp2"

    in_memory = CertStore(FROZEN)
    with Device() as device, Patched(stores, "sys", Platform):
        assert stores._folder(in_memory) == "/"
        put(device.folder + "rom.bin", IN_ROM)
        rom = CertStore(device.folder + "rom.bin")
        assert stores._folder(rom) == "/"
        rom.close()
        with Patched(stores, "is_file", lambda path: path == "/flash"):
            assert stores._folder(in_memory) == "/flash/"
        for name in (device.lib + "roots.bin", "roots.bin"):
            put(name, IN_FILE)
            base = CertStore(name)
            assert stores._folder(base) == name[: -len("roots.bin")]
            base.close()


def test_a_context_trusts_and_presents_what_the_device_has():
    with Device() as device:
        raises(ConfigurationError, "no-store", SecureContext)
        raises(ConfigurationError, "no-store", lambda: SecureContext(verify=False, identity="device"))
        device.freeze(FROZEN)
        device.again().add_identity("device", EC, PLAIN_KEY, plain=True)
        device.again()
        made = SecureContext(identity="CN=EC Root")
        assert made.identity[0] == [EC] and made.trust.floor() == BUILT
        assert SecureContext(verify=False, identity="device").identity == made.identity
