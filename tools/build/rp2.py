"""Firmware of MicroPython's port rp2: firmware.uf2, firmware.elf, firmware.bin and sizes.json."""

import json
import os
import re
import shutil
import subprocess
import sys

import system

from common import BuildError, clean_environment, run_logged, say
from rp2_source import with_libraries
from sources import source
from unix import fresh_if_moved, micropython_version, mpy_cross

FLASH_ADDRESS = 0x10000000  # RP2040 datasheet 2.2, RP2350 datasheet 2.2: XIP
RAM_ADDRESS = 0x20000000

# The SDK may otherwise take picolibc, and fetch picotool from the network.
OPTIONS = ("-DPICO_CLIB=newlib", "-DPICO_NO_PICOTOOL=1", "-DPICO_BUILD_DOCS=0")


def build(board, output, configuration):
    """Make the firmware of `board` (boards.Board) in the folder `output`.

    `configuration` is the digest of what the build's makefiles do not follow by themselves.
    """
    radio = "lib/cyw43-driver" in board.submodules
    system.check(system.RADIO_NEEDS if radio else system.RP2_NEEDS)
    base = source("stock")
    tree = with_libraries(base, board.full_name, board.submodules)
    compiler = ("env", f"MICROPY_MPYCROSS={mpy_cross(base)}")
    work = output / "build"
    fresh_if_moved(work, f"{tree} {configuration}")
    say(f"building {board.full_name} (MicroPython {micropython_version(tree)})")
    if not (work / "Makefile").is_file():
        variant = [f"-DMICROPY_BOARD_VARIANT={board.variant}"] if board.variant else []
        run_logged(
            [
                *(*compiler, "cmake", "-S", tree / "ports" / "rp2", "-B", work, "-G", "Unix Makefiles"),
                *(f"-DMICROPY_BOARD={board.name}", f"-DMICROPY_BOARD_DIR={board.folder}", *variant),
                *(f"-DPython3_EXECUTABLE={sys.executable}", *OPTIONS),
            ],
            output / "configure.log",
            "cmake",
        )
    run_logged(
        [*compiler, "cmake", "--build", work, f"-j{os.cpu_count()}"], output / "build.log", board.full_name
    )
    sizes = measure(work / "firmware.elf", work / "firmware.bin")
    check_fit(sizes["flash_bytes"], board)
    for name in ("firmware.elf", "firmware.bin"):
        shutil.copyfile(work / name, output / name)
    run_logged(
        [
            *(sys.executable, tree / "tools" / "uf2conv.py", "--convert", "--base", hex(FLASH_ADDRESS)),
            *("--family", hex(board["family"]), "--output", output / "firmware.uf2", output / "firmware.bin"),
        ],
        output / "uf2.log",
        "uf2conv",
    )
    (output / "sizes.json").write_text(json.dumps(sizes) + "\n")
    return sizes


def measure(elf, binary):
    """What the image takes: flash, static RAM, and what is left for MicroPython's heap, in bytes."""
    command = ["arm-none-eabi-nm", elf]
    names = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=True
    ).stdout
    start, end = (
        int(re.search(rf"^(\w+) . {name}$", names, re.M)[1], 16) for name in ("__GcHeapStart", "__GcHeapEnd")
    )
    return {
        "flash_bytes": binary.stat().st_size,
        "ram_bytes": start - RAM_ADDRESS,
        "heap_bytes": end - start,
    }


def check_fit(flash_bytes, board):
    """The linker knows the whole flash only, not where the ROMFS begins."""
    if flash_bytes > board["romfs_offset"]:
        raise BuildError(
            f"{board.full_name} takes {flash_bytes} bytes of flash, but its ROMFS begins at "
            f"{board['romfs_offset']}: freeze less, or move it in boards/boards.toml and {board.name}'s "
            "mpconfigboard.h"
        )
