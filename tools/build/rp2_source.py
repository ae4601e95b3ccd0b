"""MicroPython's tree with what an rp2 firmware needs besides: lwIP, the Pico SDK, TinyUSB."""

import os
import shutil
import subprocess
from pathlib import Path

from common import BuildError, cache_dir, locked, say, versions
from sources import (
    Apt,
    archive_entries,
    binary_package,
    choose,
    is_debian,
    new_folder,
    tarball,
    unpack,
    upstream,
)

# What every rp2 firmware needs of MicroPython's submodules.
LIBRARIES = ("lib/lwip", "lib/pico-sdk", "lib/tinyusb")

# A file that is there when a submodule is.
SIGNS = {
    "lib/cyw43-driver": "src/cyw43.h",
    "lib/lwip": "src/core/tcp.c",
    "lib/pico-sdk": "pico_sdk_init.cmake",
    "lib/tinyusb": "src/tusb.h",
    "lib/wiznet5k": "README.md",
}

# Debian's source packages: (package, where it goes, what the build reads of it if not all).
SOURCE_PACKAGES = (
    ("lwip", "lib/lwip", ("src",)),
    ("pico-sdk", "lib/pico-sdk", None),
)


def with_libraries(base, board, submodules):
    """The tree to build the board `board` from, where `base` is that of sources.source()."""
    if os.environ.get("MICROPYTHON_DIR"):
        require(base, board, (*LIBRARIES, *submodules), Path(os.environ["MICROPYTHON_DIR"]))
        return base
    if submodules:
        raise BuildError(
            f"{board} needs {' and '.join(submodules)} of MicroPython, which Debian does not have: set "
            f"MICROPYTHON_DIR to a checkout with {' '.join((*LIBRARIES, *submodules, 'lib/mbedtls'))}"
        )
    if not is_debian():
        raise BuildError(
            f"{board} is built from Debian's packages or from a checkout: set MICROPYTHON_DIR to one "
            f"with {' '.join((*LIBRARIES, 'lib/mbedtls'))}"
        )
    pins = versions()
    with locked(cache_dir() / "lock"):
        return from_debian(cache_dir(), base, pins, pins["debian"])


def require(tree, board, submodules, checkout):
    absent = [name for name in submodules if not (tree / name / SIGNS[name]).is_file()]
    if absent:
        raise BuildError(
            f"{board} needs {', '.join(absent)} in MICROPYTHON_DIR: "
            f"run `git -C {checkout} submodule update --init {' '.join(absent)}`"
        )


def from_debian(cache, base, pins, debian, entries=None):
    """A copy of `base`, by hard links, with Debian's packages in lib/."""
    entries = archive_entries() if entries is None else entries
    sources = Apt(cache / "apt", entries, debian["suites"])
    binaries = Apt(cache / "apt-binary", entries, debian["binary_suites"], "deb")
    for apt, index in ((sources, "*Sources*"), (binaries, "*Packages*")):
        if not any((apt.state / "lists").glob(index)):
            apt.update()
    chosen = [
        (package, *choose(sources.candidates(package), pins[package], package))
        for package, *_ in SOURCE_PACKAGES
    ]
    usb = "tinyusb-source"
    usb_version, usb_digest = choose(binaries.binary_candidates(usb), pins[usb], usb)
    versions_in_name = [f"{package}-{upstream(version)}" for package, version, _ in chosen]
    tree = cache / "source" / "_".join([base.name, *versions_in_name, f"tinyusb-{upstream(usb_version)}"])
    if tree.is_dir():
        return tree
    archives = [tarball(sources, cache / "downloads", *item) for item in chosen]
    deb = binary_package(binaries, cache / "downloads", usb, usb_version, usb_digest)
    say(f"unpacking {tree.name}")
    fresh = new_folder(tree)
    shutil.copytree(base, fresh, copy_function=os.link, symlinks=True)
    for (_, place, parts), archive in zip(SOURCE_PACKAGES, archives, strict=True):
        shutil.rmtree(fresh / place, ignore_errors=True)
        unpack(archive, fresh / place, parts)
    shutil.rmtree(fresh / "lib" / "tinyusb", ignore_errors=True)
    unpack_deb(deb, "usr/src/tinyusb", fresh / "lib" / "tinyusb")
    require(fresh, usb, LIBRARIES, fresh)
    fresh.rename(tree)
    return tree


def unpack_deb(deb, inside, folder):
    """The folder `inside` of a binary package becomes `folder`; nothing is installed."""
    files = folder.with_name(folder.name + ".deb")
    done = subprocess.run(["dpkg-deb", "--extract", deb, files], capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"{deb} does not unpack: {done.stderr.strip()}")
    (files / inside).rename(folder)
    shutil.rmtree(files)
