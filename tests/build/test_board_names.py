"""Every name that a board sets exists in the sources it is set for: a misspelt one is silently ignored."""

import re

import pytest

import boards
from plugins.interpreters import ROOT
from sources import source

BOARDS = ROOT / "boards"
MBEDTLS = ROOT / "firmware" / "mbedtls"

# Where the ports and the SDK read CMake's variables.
CMAKE_OF_PORT = {
    "rp2": ("ports/rp2/CMakeLists.txt", "ports/rp2/boards/*/*.cmake", "py/*.cmake", "extmod/extmod.cmake"),
    "esp32": ("ports/esp32/CMakeLists.txt", "ports/esp32/esp32_common.cmake", "py/*.cmake"),
}
# Where the C macros are read.
C_OF_PORT = {
    "rp2": ("py/*.[ch]", "extmod/*.[ch]", "extmod/*/*.h", "ports/rp2/**/*.[ch]", "shared/**/*.[ch]"),
    "esp32": ("py/*.[ch]", "extmod/*.[ch]", "ports/esp32/**/*.[ch]", "shared/**/*.[ch]"),
}
# Read by a library that not every machine has: name → where.
FROM_LIBRARIES = {
    "LWIP_ARP": "lwIP 2.2, src/include/lwip/opt.h",
    "LWIP_ETHERNET": "lwIP 2.2, src/include/lwip/opt.h",
    "PICO_PRINTF_SUPPORT_FLOAT": "Pico SDK 2.1, src/rp2_common/pico_printf/printf.c",
}
# Options of ESP-IDF that no board of MicroPython sets. All: ESP-IDF 5.4, components/mbedtls/Kconfig.
FROM_ESP_IDF = {
    "CONFIG_MBEDTLS_CLIENT_SSL_SESSION_TICKETS",
    "CONFIG_MBEDTLS_DYNAMIC_BUFFER",
    "CONFIG_MBEDTLS_DYNAMIC_FREE_CONFIG_DATA",
    "CONFIG_MBEDTLS_KEY_EXCHANGE_ECDHE_PSK",
    "CONFIG_MBEDTLS_KEY_EXCHANGE_PSK",
    "CONFIG_MBEDTLS_KEY_EXCHANGE_RSA_PSK",
    "CONFIG_MBEDTLS_PSK_MODES",
    "CONFIG_MBEDTLS_SERVER_SSL_SESSION_TICKETS",
    "CONFIG_MBEDTLS_SSL_VARIABLE_BUFFER_LENGTH",
}


@pytest.fixture(scope="module")
def tree():
    """MicroPython's source, as the host builds have it."""
    return source("stock")


def words(tree, patterns):
    """Every identifier in the files that match."""
    found = set()
    for pattern in patterns:
        for path in tree.glob(pattern):
            found |= set(re.findall(r"\w+", path.read_text(errors="replace")))
    return found


def files(port, *suffixes):
    folders = (BOARDS / port, *([MBEDTLS] if port == "rp2" else []))
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in suffixes]
    return [path for path in found if path.name != "stock.h"]  # stock.h is the host build's


def names(port, pattern, *suffixes):
    return {name for path in files(port, *suffixes) for name in re.findall(pattern, path.read_text(), re.M)}


@pytest.mark.parametrize("port", boards.PORTS)
def test_cmake_variables(tree, port):
    set_here = names(port, r"^\s*(?:set|list)\((?:APPEND )?(\w+)", ".cmake")
    set_here |= set(re.findall(r"^\s*set\((\w+)", (BOARDS / "frozen.cmake").read_text(), re.M))
    # py/mkrules.cmake hands every variable of this prefix to the manifest.
    for_manifest = {name for name in set_here if name.startswith("MICROPY_MANIFEST_")}
    assert '"MICROPY_MANIFEST_.*"' in (tree / "py" / "mkrules.cmake").read_text()
    assert set_here - for_manifest and not set_here - for_manifest - words(tree, CMAKE_OF_PORT[port])


def test_variables_of_the_manifests_are_those_that_cmake_sets(tree):
    used = set()
    for path in (ROOT / "manifest.py", *BOARDS.rglob("*.py")):
        used |= set(re.findall(r"\$\((\w+)\)", path.read_text()))
    text = (tree / "py" / "mkrules.cmake").read_text() + (BOARDS / "frozen.cmake").read_text()
    assert used == {"BASE", "PORT_SET", "PORT_DIR", "MPY_DIR"}
    assert used <= set(re.findall(r"set\(MICROPY_MANIFEST_(\w+)", text))


@pytest.mark.parametrize("port", boards.PORTS)
def test_c_macros(tree, port):
    set_here = names(port, r"^\s*#(?:define|undef) (\w+)", ".h")
    set_here |= names(port, r"^\s+([A-Z]\w+)=", ".cmake") | names(port, r"MICROPY_DEF_BOARD (\w+)=", ".cmake")
    guards = names(port, r"^#ifndef (SECURESOCKET_\w+)", ".h")
    known = words(tree, (*C_OF_PORT[port], "lib/mbedtls/include/mbedtls/*.h"))
    assert set_here - guards and not set_here - guards - known - set(FROM_LIBRARIES)


@pytest.mark.parametrize("port", boards.PORTS)
def test_macros_are_ours_to_set(tree, port):
    """What mpconfigport.h defines without asking would be defined twice."""
    text = (tree / "ports" / port / "mpconfigport.h").read_text()
    asked = set(re.findall(r"^#\s*ifndef (\w+)\n", text, re.M))
    defined = set(re.findall(r"^#\s*define (\w+)", text, re.M))
    set_here = names(port, r"^#define (MICROPY_\w+)", ".h")
    assert set_here and not (set_here & defined) - asked


def test_options_of_esp_idf(tree):
    known = words(tree, ("ports/esp32/boards/sdkconfig.*", "ports/esp32/boards/*/sdkconfig*"))
    sdkconfigs = (BOARDS / "esp32").rglob("sdkconfig*")
    set_here = {name for path in sdkconfigs for name in re.findall(r"^(\w+)=", path.read_text(), re.M)}
    assert set_here - known == FROM_ESP_IDF


def test_files_of_the_port_that_boards_name(tree):
    for port in boards.PORTS:
        for path in files(port, ".cmake"):
            for name in re.findall(r"^\s+(boards/\S+)$", path.read_text(), re.M):
                assert (tree / "ports" / port / name).is_file(), f"{path.name}: {name}"
            for name in re.findall(r"\$\{MICROPY_PORT_DIR\}/([^\"]+)", path.read_text()):
                assert (tree / "ports" / port / name).is_file(), f"{path.name}: {name}"
