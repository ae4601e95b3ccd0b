"""The MicroPython binaries for the host: python3 tools/build/unix.py stock|stock32|stock-1.25

makes build/unix/<name>/micropython, and build/mpy-cross/<version>/mpy-cross from the same
source. The source is not written to: everything goes to build/.
"""

import os
import re
import shutil

from common import BUILD, ROOT, BuildError, cache_dir, locked, main, run_logged, say
from sources import source

# Further variables for each build; all share firmware/unix.
BUILDS = {
    "stock": (),
    "stock32": ("MICROPY_FORCE_32BIT=1",),
    "stock-1.25": (),
    # stock32 with a meter for what mbedTLS holds: see tools/calibrate.
    "meter32": ("MICROPY_FORCE_32BIT=1", f"USER_C_MODULES={ROOT / 'firmware' / 'calibrate'}"),
}


def micropython_version(tree):
    """The version in py/mpconfig.h, as 1.26.1."""
    text = (tree / "py" / "mpconfig.h").read_text()
    names = ("MAJOR", "MINOR", "MICRO")
    return ".".join(re.search(rf"#define MICROPY_VERSION_{name} (\d+)", text)[1] for name in names)


def fresh_if_moved(folder, tree):
    """Empty a build folder that was made from another source: its dependencies name the old one."""
    mark = folder / "source.txt"
    if folder.is_dir() and (not mark.is_file() or mark.read_text() != str(tree)):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(str(tree))


def make(folder, build, log, what, *variables):
    jobs = f"-j{os.cpu_count()}"
    run_logged(["make", "-C", folder, jobs, f"BUILD={build}", "V=", *variables], log, what)


def mpy_cross(tree):
    """The compiler of the same source: build/mpy-cross/<version>, or checkout for a checkout."""
    of_checkout = "MICROPYTHON_DIR" in os.environ and cache_dir() not in tree.parents
    build = BUILD / "mpy-cross" / ("checkout" if of_checkout else micropython_version(tree))
    with locked(BUILD / "mpy-cross" / "lock"):
        fresh_if_moved(build, tree)
        # Of a release it is made once; a checkout's own makefile knows what changed.
        if of_checkout or not (build / "mpy-cross").exists():
            say(f"building {build.relative_to(ROOT)}")
            make(tree / "mpy-cross", build, build.with_name(build.name + ".log"), "mpy-cross")
    return build / "mpy-cross"


def micropython(name):
    tree = source(name)
    compiler = mpy_cross(tree)
    build = BUILD / "unix" / name
    fresh_if_moved(build, tree)
    program = build / "micropython"
    say(f"building {program.relative_to(ROOT)} (MicroPython {micropython_version(tree)})")
    make(
        tree / "ports" / "unix",
        build,
        BUILD / "unix" / f"{name}.log",
        name,
        f"VARIANT_DIR={ROOT / 'firmware' / 'unix'}",
        f"VARIANT={name}",
        f"FROZEN_MANIFEST={ROOT / 'manifest.py'}",
        f"MICROPY_MPYCROSS={compiler}",
        *BUILDS[name],
    )
    # The sub-make leaves the binary alone when nothing in it changed: ours must see it as made.
    os.utime(program)


def build(name=""):
    if name not in BUILDS:
        raise BuildError(f"no build named {name!r}; there are {', '.join(BUILDS)}")
    micropython(name)


if __name__ == "__main__":
    main(build)
