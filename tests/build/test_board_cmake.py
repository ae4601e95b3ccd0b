"""MicroPython's own CMakeLists.txt of the port esp32, run with our boards as far as ESP-IDF."""

import re
import shutil
import subprocess

import pytest

import boards
from plugins.interpreters import ROOT
from sources import source

ESP32 = [name for name in boards.names() if name.startswith("ESP32")]

# Stands where ESP-IDF would take over, and tells what it is handed.
PROJECT = """\
function(idf_build_set_property)
endfunction()
set(names IDF_TARGET MICROPY_FROZEN_MANIFEST MICROPY_MANIFEST_BASE MICROPY_MANIFEST_PORT_SET MICROPY_PY_BTREE)
foreach(name ${names})
    message(STATUS "${name}=${${name}}")
endforeach()
"""


@pytest.fixture(params=ESP32)
def configured(request, tmp_path):
    """(board, {CMake variable: value}, {CONFIG_…: value}) after the port's configuration."""
    if not shutil.which("cmake"):
        pytest.skip("no cmake: it comes with the first rp2 firmware")
    board = boards.find(request.param)
    stub = tmp_path / "idf" / "tools" / "cmake" / "project.cmake"
    stub.parent.mkdir(parents=True)
    stub.write_text(PROJECT)
    variant = [f"-DMICROPY_BOARD_VARIANT={board.variant}"] if board.variant else []
    done = subprocess.run(
        [
            *("cmake", "-S", source("stock") / "ports" / "esp32", "-B", tmp_path / "build"),
            *(f"-DMICROPY_BOARD={board.name}", f"-DMICROPY_BOARD_DIR={board.folder}", *variant),
        ],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "IDF_PATH": str(tmp_path / "idf")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    variables = dict(re.findall(r"^-- (\w+)=(.*)$", done.stdout, re.M))
    # As in ESP-IDF, the last assignment counts.
    config = re.findall(r"^(CONFIG_\w+)=(.*)$", (tmp_path / "build" / "sdkconfig.combined").read_text(), re.M)
    return board, variables, dict(config)


def test_port_takes_the_board(configured):
    board, variables, config = configured
    library = source("stock") / "lib" / "micropython-lib" / "micropython"
    assert variables == {
        "IDF_TARGET": board["chip"],
        "MICROPY_FROZEN_MANIFEST": f"{ROOT}/boards/../manifest.py",
        "MICROPY_MANIFEST_BASE": str(board.folder / "manifest.py"),
        "MICROPY_MANIFEST_PORT_SET": "with_library.py" if library.is_dir() else "without_library.py",
        "MICROPY_PY_BTREE": "OFF",
    }
    assert config["CONFIG_PARTITION_TABLE_CUSTOM_FILENAME"] == f'"{ROOT / board["partitions"]}"'
    on = (
        "SSL_ALPN",
        "CLIENT_SSL_SESSION_TICKETS",
        "SERVER_SSL_SESSION_TICKETS",
        "PSK_MODES",
        "HAVE_TIME_DATE",
    )
    assert {config[f"CONFIG_MBEDTLS_{name}"] for name in on} == {"y"}
    assert config["CONFIG_MBEDTLS_HAVE_TIME_DATE"] == "y", "or dates are not verified"
    assert config["CONFIG_MBEDTLS_CERTIFICATE_BUNDLE"] == "n"


def test_dynamic_buffers_or_dtls(configured):
    """ESP-IDF has either: its option for the one depends on the absence of the other."""
    board, _, config = configured
    dtls = board.variant == "DTLS"
    assert config["CONFIG_MBEDTLS_DYNAMIC_BUFFER"] == ("n" if dtls else "y")
    assert config["CONFIG_MBEDTLS_SSL_PROTO_DTLS"] == ("y" if dtls else "n")
    assert config.get("CONFIG_MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH", "n") == ("y" if dtls else "n")
