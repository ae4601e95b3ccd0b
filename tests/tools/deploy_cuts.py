"""Runs on MicroPython: what a deployment did to a board is done again to a copy of its flash, with the power
cut at every write, and each time a board is started from what is there then.

Its arguments: a file with {"flash": …, "programs": […], "settle": …} as repr, and the step between second
cuts.
"""

import gc
import os
import sys

import vfs

from power import Disk

# What any program may import, in either order, and from either end.
IMPORTS = (
    ("certstore", "securesocket"),
    ("securesocket", "certstore"),
    ("certstore.value", "securesocket.value"),
    ("securesocket.value", "certstore.value"),
)
OURS = ("certstore", "securesocket")


def started(flash, programs, cut_at=None, torn=False):
    """Run programs on a board with this flash: (its flash afterwards, writes, the error that ended it)."""
    gc.collect()
    gc.disable()
    disk = Disk(flash, cut_at, torn)
    vfs.mount(vfs.VfsLfs2(disk), "/")
    os.chdir("/")
    error = None
    space = {"print": lambda *_, **__: None}
    try:
        for program in programs:
            try:
                exec(program, space)
            except OSError as caught:
                # mpremote asks in this way whether a file exists.
                if caught.errno != 2:
                    raise
    except OSError as caught:
        error = caught
    finally:
        vfs.umount("/")
        found = disk.finish()
        gc.enable()
    return found, disk.writes, error


def forget():
    for name in list(sys.modules):
        if name.split(".")[0] in OURS:
            del sys.modules[name]


def imported(flash):
    """What a board with this flash imports: "old" or "new", and whether anything of a deployment is left."""
    disk = Disk(flash)
    vfs.mount(vfs.VfsLfs2(disk), "/")
    os.chdir("/")
    found = set()
    try:
        for order in IMPORTS:
            forget()
            for name in order:
                module = __import__(name, None, None, ("VALUE",))
                found.add(module.VALUE)
            # Modules import each other, and what the other version does not have.
            found.add(__import__("securesocket").other())
            assert sys.path == ["", "/lib"], sys.path
        left = sorted(name for name in os.listdir("/") if name not in ("lib", "roots.bin", "main.py"))
    finally:
        forget()
        vfs.umount("/")
        disk.finish()
    assert len(found) == 1, found
    return found.pop(), left


def main(path, step):
    with open(path) as file:
        case = eval(file.read())
    step = int(step)
    flash, programs, settle = case["flash"], case["programs"], case["settle"]
    # Loaded before: below there are no files but the board's.
    import binascii  # noqa: F401

    vfs.umount("/")
    sys.path[:] = ["", "/lib"]
    forget()
    assert imported(flash) == ("old", []), imported(flash)
    done, writes, error = started(flash, programs)
    assert error is None, error
    assert imported(done) == ("new", []), imported(done)
    counts = {"old": 0, "new": 0, "second": 0}
    for torn in (False, True):
        seen_new = False
        for cut_at in range(1, writes + 1):
            after, _, error = started(flash, programs, cut_at, torn)
            assert error is not None, cut_at
            which, _ = imported(after)
            counts[which] += 1
            assert which == "new" or not seen_new, cut_at
            seen_new = which == "new"
            settled, more, error = started(after, (settle,))
            assert error is None, (cut_at, error)
            assert imported(settled) == (which, []), (cut_at, which, imported(settled))
            if cut_at % step == 0 or seen_new:
                for again in range(1, more + 1, 1 if seen_new else step):
                    twice, _, _ = started(after, (settle,), again, torn)
                    assert imported(twice)[0] == which, (cut_at, again)
                    last, _, error = started(twice, (settle,))
                    assert error is None and imported(last) == (which, []), (cut_at, again)
                    counts["second"] += 1
    print(writes, counts)


main(*sys.argv[1:])
