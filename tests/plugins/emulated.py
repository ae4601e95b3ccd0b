"""The target `emulator`: scripts of tests/target on an emulated Pico, with their servers on this computer.

The Pico is a process of its own, started by the first script and shared by a session; each script begins
with a reset of the chip. Timeouts are in its own time, which passes about 25 times as slowly as ours.
"""

import re
from datetime import UTC, datetime
from fnmatch import fnmatch

import pytest

from emulator.client import Emulator
from emulator.errors import ScriptTimeout
from plugins.interpreters import ROOT
from plugins.run import Run

# What `builds` of a test means here: the firmware is MicroPython's own configuration of mbedTLS, as `stock`.
BUILD = "stock"

DRIVER = ROOT / "tests" / "target" / "driver.py"

# Tests that do not run here, and why. The first fitting row counts.
NO_WAY_IN = "the device has a network of its own, which lets no client in"
LEAK_LOOPS = "its loop of connections takes most of an hour in emulated time; on 32 bits stock32 runs it"
HEAP_SIZE = "needs a heap of a chosen size; tests/tools/test_emulated.py has the device's own"
NOT_HERE = (
    ("test_builds.py::*", "it is about the builds of this computer"),
    ("test_memory.py::*", HEAP_SIZE),
    ("test_budget.py::*", HEAP_SIZE),
    ("test_bad_certificate.py::test_memory_is_not_asked_about*", HEAP_SIZE),
    ("test_stream.py::*leaves_neither_file_nor_heap*", "there is no /proc/self/fd on the device"),
    ("test_stream.py::test_open_connection_may_be_dropped*", "there is no /proc/self/fd on the device"),
    ("test_chains.py::*store*", "it opens a file of this computer"),
    ("test_options.py::test_trust_in_every_form*", "it opens a file of this computer"),
    ("test_options.py::test_damaged_store*", "it opens a file of this computer"),
    ("test_entropy.py::test_an_identity*", "it opens a file of this computer"),
    ("test_set_clock.py::test_a_port_without_a_clock*", "the device has a clock of its own"),
    (
        "test_set_clock.py::test_a_jump_of_more*",
        "to the second; the device's clock lags behind ours by minutes",
    ),
    ("test_set_clock.py::test_a_port_that_nobody*", "the network tells no cause of a refusal"),
    (
        "test_peers.py::test_connection_that_never_opens*",
        "the network accepts before the server does",
    ),
    (
        "test_peers.py::test_closed_port_is_told*",
        "the network tells no cause of a refusal",
    ),
    ("test_server*", NO_WAY_IN),
    ("test_starttls.py*", NO_WAY_IN),
    ("test_datagram*", NO_WAY_IN),
    ("test_pair.py*", LEAK_LOOPS),
    ("test_wire.py::test_flight_split_at_any_byte*", LEAK_LOOPS),
    ("test_wire.py::test_changed_byte*", LEAK_LOOPS),
)

# What plain `make test` runs here: ways that a connection ends, in tests that take little emulated time.
# Only asyncio's has a handshake, most of a minute of ours; the store's is in test_first_connection.py.
SAMPLE = (
    "test_clock.py::test_clock_that_was_never_set_is_told_before_any_handshake[[]stock-socket]",
    "test_options.py::test_options_that_contradict_each_other_are_refused[[]stock]",
    "test_peers.py::test_deadline_holds[[]stock-wrap-says nothing]",
    "test_peers.py::test_what_is_no_tls_is_told[[]stock-HTTP]",
    "test_stream.py::test_each_way_to_connect_is_verified[[]stock-asyncio]",
)


def reason_not(name):
    """Why a test (`module.py::name`) does not run here; None if it does."""
    return next((reason for pattern, reason in NOT_HERE if fnmatch(name, pattern)), None)


def select(config, items):
    """Mark what does not run here; with --sample, keep the sample only."""
    kept, dropped = [], []
    for item in items:
        name = item.nodeid.partition("tests/target/")[2]
        if reason := reason_not(name):
            item.add_marker(pytest.mark.skip(reason=reason))
        in_sample = any(fnmatch(name, pattern) for pattern in SAMPLE)
        (kept if in_sample or not config.getoption("--sample") else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def set_clock(env):
    """Lines that set the device's clock, of the environment that the fixture `clock` makes."""
    env = dict(env or {})
    moment = re.fullmatch(r"@(.+)", env.pop("FAKETIME", ""))
    for name in ("LD_PRELOAD", "FAKETIME_DONT_FAKE_MONOTONIC", "TZ"):
        env.pop(name, None)
    assert not env, f"the device has no environment for {env}"
    if not moment:
        return ""
    when = datetime.strptime(moment[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    fields = (when.year, when.month, when.day, when.weekday(), when.hour, when.minute, when.second, 0)
    return f"import machine; machine.RTC().datetime({fields})\n"


class EmulatedProcess:
    """A script on the device, as plugins.target.Process."""

    def __init__(self, script):
        self._script = script
        self._said = {"output": "", "error": ""}

    def line(self):
        while "\n" not in self._said["output"]:
            try:
                event, text = next(iter(self._script))
            except StopIteration:
                break
            self._said[event] += text
        line, _, self._said["output"] = self._said["output"].partition("\n")
        return line

    def wait(self, timeout_s=None):
        try:
            for event, text in self._script:
                self._said[event] += text
        except ScriptTimeout as late:
            pytest.fail(f"{late}: {self._said}")
        return Run(self._said["output"], self._said["error"], self._script.result()["status"])

    def stop(self):
        self._script.stop()


class EmulatorTarget:
    name = "emulator"
    builds = (BUILD,)
    driver = "from driver import *\n"

    def __init__(self):
        self._pico = None
        self._processes = []

    def run(self, script, *, build=BUILD, env=None, heapsize=None, params=None, timeout_s=60):
        """As UnixTarget.run; `timeout_s` is emulated time, and the heap is as large as the chip's."""
        return self.start(script, env=env, params=params, timeout_s=timeout_s).wait()

    def start(self, script, *, build=BUILD, env=None, heapsize=None, params=None, timeout_s=60):
        if self._pico is None:
            self._pico = Emulator()
            self._pico.install("driver", DRIVER.read_text())
        source = script if isinstance(script, str) else script.read_text()
        started = self._pico.start(set_clock(env) + source, params=params, timeout_ms=timeout_s * 1000)
        process = EmulatedProcess(started)
        self._processes.append(process)
        return process

    def stop(self):
        while self._processes:
            self._processes.pop().stop()

    def close(self):
        self.stop()
        if self._pico:
            self._pico.close()
