"""The hooks of our own plumbing; tests/plugins/ has what they do."""

import os

from plugins import emulated, target, unit


def pytest_addoption(parser):
    parser.addoption(
        "--target",
        default="unix",
        metavar="TARGET",
        help="where tests/target runs: unix (default), emulator",
    )
    parser.addoption(
        "--sample", action="store_true", help="of tests/target on the emulator, only what `make test` runs"
    )


def pytest_configure(config):
    target.target_class(config)


def pytest_report_header(config):
    checkout = os.environ.get("MICROPYTHON_DIR")
    lines = [f"target: {config.getoption('--target')}"]
    return [*lines, f"stock and stock32 are built from {checkout}"] if checkout else lines


def pytest_collection_modifyitems(config, items):
    if config.getoption("--target") == "emulator":
        emulated.select(config, items)


def pytest_pycollect_makemodule(module_path, parent):
    return unit.make_module(module_path, parent)
