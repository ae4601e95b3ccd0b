"""Firmware of the port esp32, with the user's ESP-IDF: firmware.bin, firmware.elf and sizes.json."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from common import BUILD, BuildError, clean_environment, locked, run_logged, say
from sources import link_tree, source
from unix import fresh_if_moved, micropython_version, mpy_cross

# The compiler's prefix for each chip.
TOOLCHAINS = {
    "esp32": "xtensa-esp32-elf-",
    "esp32s3": "xtensa-esp32s3-elf-",
    "esp32c3": "riscv32-esp-elf-",
    "esp32c6": "riscv32-esp-elf-",
}


def build(board, output, configuration):
    """Make the firmware of `board` (boards.Board) in the folder `output`; see rp2.build."""
    require_idf(board)
    base = source("stock")
    tree = writable(base)
    compiler = ("env", f"MICROPY_MPYCROSS={mpy_cross(base)}")
    work = output / "build"
    fresh_if_moved(work, f"{tree} {os.environ['IDF_PATH']} {configuration}")
    say(f"building {board.full_name} (MicroPython {micropython_version(tree)})")
    port = tree / "ports" / "esp32"
    variant = ["-D", f"MICROPY_BOARD_VARIANT={board.variant}"] if board.variant else []
    run_logged(
        [
            *(*compiler, "idf.py", "-C", port, "-B", work),
            *("-D", f"MICROPY_BOARD={board.name}", "-D", f"MICROPY_BOARD_DIR={board.folder}", *variant),
            "build",
        ],
        output / "build.log",
        board.full_name,
    )
    parts = (
        "sdkconfig",
        "bootloader/bootloader.bin",
        "partition_table/partition-table.bin",
        "micropython.bin",
    )
    run_logged(
        [
            *(sys.executable, port / "makeimg.py", *(work / part for part in parts)),
            *(output / "firmware.bin", work / "micropython.uf2"),
        ],
        output / "image.log",
        "makeimg",
    )
    shutil.copyfile(work / "micropython.elf", output / "firmware.elf")
    sizes = measure(work / "micropython.elf", work / "micropython.bin", TOOLCHAINS[board["chip"]])
    (output / "sizes.json").write_text(json.dumps(sizes) + "\n")
    return sizes


def require_idf(board):
    """ESP-IDF is there, and its export.sh has run."""
    idf = os.environ.get("IDF_PATH")
    if not idf:
        raise BuildError(
            f"{board.full_name} needs ESP-IDF 5.4, which Debian does not have: install it, then "
            "run `. …/esp-idf/export.sh`, which sets IDF_PATH"
        )
    if not (Path(idf) / "tools" / "cmake" / "project.cmake").is_file():
        raise BuildError(f"IDF_PATH={idf} is not ESP-IDF (no tools/cmake/project.cmake)")
    if not shutil.which("idf.py"):
        raise BuildError(f"idf.py is not in PATH: run `. {idf}/export.sh` first")


def writable(base):
    """Links to MicroPython's files: ESP-IDF writes lock files and components into the project."""
    tree = BUILD / "source" / "esp32"
    with locked(BUILD / "source" / "lock"):
        fresh_if_moved(tree, base)
        link_tree(base, tree)
    return tree


def measure(elf, binary, toolchain):
    """What the application takes: flash, and static RAM, in bytes."""
    command = [f"{toolchain}size", "-A", elf]
    table = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=True
    ).stdout
    ram = sum(int(size) for size in re.findall(r"^\.dram0\.\S+\s+(\d+)", table, re.M))
    return {"flash_bytes": binary.stat().st_size, "ram_bytes": ram}
