"""`securesocket doctor`: what the user typed to questions for a device, and what it told to rows."""

import dataclasses
import time

import click
from rich.table import Table
from rich.text import Text

from certstore import __version__ as _OURS

from . import doctor_checks, doctor_device, targets
from .doctor_checks import OK, PROBLEM, WARNING
from .memory_commands import read_address
from .store_output import JSON, count, say, say_json, trouble
from .table import Command, console

_STATUS = {OK: ("✓ ok", "green"), WARNING: ("! warning", "yellow"), PROBLEM: ("✗ problem", "bold red")}
_TIMEOUT_MS = 15_000


def doctor(device, host, heap, micropython, as_json):
    with trouble():
        address = read_address(host) if host else None
        with targets.target(device, micropython, heap) as target:
            found = target.run(
                doctor_device.SURVEY, {"PARTS": doctor_device.parts(), "LISTED": doctor_device.LISTED}
            )
            if address:
                params = {"HOST": address[0], "PORT": address[1], "TIMEOUT_MS": _TIMEOUT_MS}
                found += target.run(doctor_device.CONNECT, params)
            port = device if isinstance(target, targets.Board) else None
            rows = _rows(found, target.install, port)
    if as_json:
        say_json([dataclasses.asdict(row) for row in rows])
    else:
        _show(rows)
    if any(row.status == PROBLEM for row in rows):
        raise click.exceptions.Exit(1)


def _rows(found, install, port):
    facts = doctor_checks.Facts(found, install, port, int(time.time()), _OURS)
    return doctor_checks.rows(facts)


def _show(rows):
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("check", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("found, and what to do", overflow="fold")
    for row in rows:
        word, style = _STATUS[row.status]
        text = Text(row.found)
        if row.remedy:
            text.append("\n→ " + row.remedy, "bold" if row.status == PROBLEM else "cyan")
        table.add_row(row.check, Text(word, style), text)
    console().print(table)
    problems = sum(row.status == PROBLEM for row in rows)
    warnings = sum(row.status == WARNING for row in rows)
    if problems or warnings:
        say(f"{count(problems, 'problem')}, {count(warnings, 'warning')}")
    else:
        say("nothing is wrong")


COMMANDS = (
    Command(
        None,
        "doctor",
        doctor,
        "Examine a device: what would go wrong, and what to type.\n\n"
        "PORT is what mpremote connects to: a serial device, or socket://HOST:PORT. With HOST:PORT it "
        "also connects there, stage by stage. Exit status 1 if something is a problem.",
        (
            click.argument("device", metavar="unix|emulator|PORT"),
            click.argument("host", metavar="[HOST:PORT]", required=False),
            click.option("--heap", metavar="BYTES", type=click.IntRange(8192, 1 << 30),
                         help="Of unix: MicroPython's heap; else its own default."),
            click.option("--micropython", metavar="FILE", help="Of unix: the binary; else the checkout's."),
            JSON,
        ),
    ),
)  # fmt: skip
