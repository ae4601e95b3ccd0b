"""`securesocket memory`: what the user typed to one traced connection, and the trace to pictures."""

import contextlib

import click

from certstore import names

from . import entries as _entries
from . import memory_chart, memory_device, memory_picture, memory_server, memory_trace, store_files, targets
from .errors import CommandError
from .store_hosts import parse_host
from .store_output import say
from .table import Command

# Of the checkout's binary: holds each handshake of ours and little more, so that the collector has to run and
# the budget's lines are near the curve. Another's may be of 64 bits, and have nothing frozen.
_HEAP_BYTES, _OTHER_HEAP_BYTES = 72 * 1024, 512 * 1024
_SMALLEST_HEAP, _LARGEST_HEAP = 24 * 1024, 1 << 30


def memory(target, host, key, chain, heap, anyway, micropython, ca, store, out, save, source):
    if out:
        memory_picture.check(out)
    if source:
        if target or host:
            raise click.UsageError("--from reads a trace: it goes without --target and HOST:PORT")
        trace = memory_trace.load(source)
    else:
        if not target:
            raise click.UsageError("Missing option '--target': unix, emulator, or a port; or --from FILE")
        if not host and (ca or store):
            raise click.UsageError("--ca and --store are for a HOST:PORT; a server of our own has its own CA")
        trace = _traced(target, host, key, chain, heap, anyway, micropython, ca, store)
    if save:
        memory_trace.save(trace, save)
    memory_chart.show(trace)
    if out:
        memory_picture.write(trace, out)
        say(f"wrote {names.escape(str(out))}")
    if trace.fact("error"):
        raise click.exceptions.Exit(1)


def _traced(target, host, key, chain, heap, anyway, micropython, ca, store):
    if target == "unix" and heap is None:
        heap = _OTHER_HEAP_BYTES if micropython else _HEAP_BYTES
    params = {"ANYWAY": anyway, "ROOTS": None, "STORE": None}
    if ca:
        params["ROOTS"] = [entry.certificate.der for entry in _entries.from_file(ca)]
    if store:
        store_files.read_store(store)
    address = read_address(host) if host else None
    with contextlib.ExitStack() as stack:
        device = stack.enter_context(targets.target(target, micropython, heap, store))
        params["STORE"] = device.own_store
        if address:
            params |= {"HOST": address[0], "PORT": address[1]}
        elif device.local_host is None:
            raise CommandError(
                f"{names.escape(target)}: a board cannot reach this computer's loopback, expected HOST:PORT: "
                "the server to connect to"
            )
        else:
            port, root = stack.enter_context(memory_server.serving(key, chain))
            params |= {"HOST": device.local_host, "PORT": port, "ROOTS": [root]}
        return _run(device, params)


def read_address(text):
    """(host, port) of HOST:PORT. Raises CommandError."""
    try:
        host = parse_host(text)
    except ValueError:
        raise CommandError(
            f'"{names.escape(text)}": expected HOST:PORT, as example.com:443 or [2001:db8::1]:8883'
        ) from None
    return host.name, host.port


def _run(device, params):
    what = names.escape(device.name)
    risen = None
    if isinstance(device, targets.Emulated):
        rows, risen = device.measured(memory_device.CONNECT, params)
    else:
        rows = device.run(memory_device.CONNECT, params)
    for row in rows:
        if row[0] == "missing":
            raise CommandError(
                f"{what}: found no module {names.escape(str(row[1]))} on the device, expected securesocket "
                f"with its parts; remedy: {device.install}"
            )
    address = f"{params['HOST']}:{params['PORT']}"
    rows += [("fact", "target", device.name), ("fact", "host", address)]
    if risen is not None:
        rows.append(("fact", "peak_bytes", risen))
    return memory_trace.of_rows(rows, what)


COMMANDS = (
    Command(
        None,
        "memory",
        memory,
        "Draw the heap of a device over a TLS handshake.\n\n"
        "One traced connection from the target: each message, the heap in use, the budget's lines. "
        "Without HOST:PORT, unix and emulator connect to a server on this computer, with a chain made "
        "for it. Exit status 1 if the connection failed; the picture then shows where.",
        (
            click.argument("host", metavar="[HOST:PORT]", required=False),
            click.option(
                "--target",
                metavar="unix|emulator|PORT",
                help="Where to connect from. PORT is what mpremote connects to.",
            ),
            click.option(
                "--key",
                type=click.Choice(tuple(memory_server.KEYS)),
                default="ec",
                show_default=True,
                help="Of our own server's chain.",
            ),
            click.option(
                "--chain",
                type=click.IntRange(memory_server.SHORTEST, memory_server.LONGEST),
                default=3,
                show_default=True,
                help="How many certificates it has, the root with them.",
            ),
            click.option(
                "--heap",
                metavar="BYTES",
                type=click.IntRange(_SMALLEST_HEAP, _LARGEST_HEAP),
                help=f"Of unix; else {_HEAP_BYTES}, with --micropython {_OTHER_HEAP_BYTES}.",
            ),
            click.option(
                "--anyway", is_flag=True, help="Connect although the budget says no: where does it fail?"
            ),
            click.option("--micropython", metavar="FILE", help="Of unix: the binary; else the checkout's."),
            click.option(
                "--ca", metavar="FILE", help="Trust these certificates, not the device's store: PEM or DER."
            ),
            click.option("--store", metavar="FILE", help="Trust this store, not the device's."),
            click.option("--out", metavar="FILE", help="Write the picture, a .svg or .png."),
            click.option("--save", metavar="FILE", help="Write the trace, as JSON."),
            click.option("--from", "source", metavar="FILE", help="Read a trace that --save wrote."),
        ),
    ),
)
