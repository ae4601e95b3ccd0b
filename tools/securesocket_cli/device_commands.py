"""`securesocket deploy|repl`: what the user typed to calls, and what a board did to text."""

import ast
import hashlib
import pathlib
import subprocess
import sys
import tempfile

import click

from certstore import names

from . import deploy as _deploy
from . import deploy_device, packages, store_files
from .errors import CommandError
from .flash_commands import COMMANDS as FLASH_COMMANDS
from .store_output import count, say, say_facts, say_table
from .table import Command
from .transport import mpremote, need_mpremote, need_port

# An emulated board, 25 times slower than a real one, takes this many bytes a second.
_BYTES_PER_S = 200
_FORGET_S = 30
_STAGE = deploy_device.STAGE
_UNTOUCHED = "the modules that were there are untouched"


def deploy(port, package, store, source, romfs, dry_run):
    if port is None and not dry_run:
        raise click.UsageError("Missing argument 'PORT': a serial device, or socket://HOST:PORT")
    opened = store_files.read_store(store) if store else None
    plan = _deploy.make_plan(package, opened, source)
    image = _deploy.romfs_image(plan) if romfs else None
    facts = None
    if port is not None:
        need_mpremote()
        need_port(port)
        facts = _facts(port, plan)
    if dry_run:
        _show(plan, image, facts)
    if facts is None:
        return
    if facts["pending"] and not dry_run:
        say("an earlier deployment was cut off: tidying up after it")
        mpremote(["connect", port, "resume", "exec", deploy_device.FORGET])
        facts = _facts(port, plan)
    _deploy.refuse(plan, facts, image)
    if dry_run:
        return
    if image is None:
        _copy(port, plan)
        place = deploy_device.LIBRARY
    else:
        _write_romfs(port, image)
        place = "/rom/lib"
    _check(port, plan, place)
    size = sum(map(len, plan.files.values()))
    with_store = f", a store of {len(plan.store)} bytes" if plan.store else ""
    say(f"{place}: {', '.join(plan.packages)}: {count(len(plan.files), 'file')}, {size} bytes{with_store}")


def _facts(port, plan):
    said = mpremote(["connect", port, "exec", deploy_device.facts(plan.packages)])
    try:
        return ast.literal_eval(said.strip().splitlines()[-1])
    except (IndexError, ValueError, SyntaxError):
        raise CommandError(
            f"{names.escape(port)}: found {names.escape(said[-100:])!r} as the board's answer, expected its "
            "facts; remedy: reset the board, and try again"
        ) from None


def _show(plan, image, facts):
    files = plan.final()
    say_table(("bytes", "file"), [(str(len(data)), name) for name, data in files.items()])
    kind = "sources" if plan.mpy_version is None else f".mpy of version {plan.mpy_version}"
    rows = [
        ("packages", f"{', '.join(plan.packages)}, {kind}"),
        ("files", f"{len(files)}, {sum(map(len, files.values()))} bytes"),
    ]
    if image is not None:
        rows.append(("ROMFS", f"an image of {len(image)} bytes"))
    if facts is not None:
        rows.append(("board", f"{facts['machine']}, MicroPython {facts['version']}, .mpy {facts['mpy']}"))
        if image is None:
            needed = plan.bytes_in(facts["block_bytes"])
            rows.append(("free", f"{facts['free_bytes']} bytes, of which it takes {needed} while it copies"))
        else:
            rows.append(("region", f"{facts['romfs_bytes'] or 0} bytes"))
        if facts["pending"]:
            rows.append(("before", "an earlier deployment was cut off; this one would tidy up first"))
    say_facts(*rows)
    say("nothing was written")


def _copy(port, plan):
    staged = plan.staged()
    resumed = ["connect", port, "resume"]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "stage"
        for name, data in staged.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        try:
            # mpremote's own lines and progress bar, on a terminal only.
            _copied(resumed, root, sum(map(len, staged.values())))
            _compare(_deploy.digests(plan), mpremote([*resumed, "exec", deploy_device.HASHES]))
        except CommandError as error:
            _forget(resumed)
            raise CommandError(f"{error.message}; {_UNTOUCHED}") from error
    try:
        mpremote([*resumed, "exec", deploy_device.switch(plan.packages)])
    except CommandError as error:
        raise CommandError(
            f"{error.message}; the board has all of the old modules or all of the new ones; "
            "remedy: deploy again"
        ) from error


def _copied(resumed, root, size):
    words = [*resumed, "fs", "--force", "cp", "-r", str(root), ":" + _STAGE]
    mpremote(words, shown=sys.stdout.isatty(), timeout_s=300 + size // _BYTES_PER_S)


def _compare(expected, said):
    found = dict(reversed(line.split(" ", 1)) for line in said.split("\n") if line.strip())
    found = {name.strip(): digest for name, digest in found.items()}
    for name, digest in expected.items():
        if found.get(name) != digest:
            raise CommandError(
                f"{name}: found SHA-256 {found.get(name)} on the board, expected {digest}; "
                "remedy: deploy again"
            )


def _forget(resumed):
    # Half a copy takes up flash; if the board is gone, the next deployment removes it.
    try:
        mpremote([*resumed, "exec", deploy_device.FORGET], timeout_s=_FORGET_S)
    except CommandError:
        pass


def _write_romfs(port, image):
    resumed = ["connect", port, "resume"]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "deploy.romfs"
        path.write_bytes(image)
        again = "the ROMFS region is written in place, and may be incomplete; remedy: deploy again"
        try:
            words = [*resumed, "romfs", "deploy", str(path)]
            mpremote(words, shown=sys.stdout.isatty(), timeout_s=300 + len(image) // _BYTES_PER_S)
            found = mpremote([*resumed, "exec", deploy_device.romfs_digest(len(image))])
        except CommandError as error:
            raise CommandError(f"{error.message}; {again}") from error
    expected = hashlib.sha256(image).hexdigest()
    if expected not in found.split():
        raise CommandError(
            f"found another image on the board than was sent, expected SHA-256 {expected}; {again}"
        )


def _check(port, plan, place):
    said = mpremote(["connect", port, "exec", deploy_device.check(plan.packages)])
    for name in plan.packages:
        if not any(line.startswith(name + " ") and f" {place}/{name}/" in line for line in said.splitlines()):
            raise CommandError(
                f"found {names.escape(said.strip())!r} when {name} was imported, expected it from {place}; "
                "remedy: deploy again"
            )


def repl(port):
    need_mpremote()
    need_port(port)
    say("Ctrl-] ends it. To begin with: import securesocket; securesocket.help()")
    sys.stdout.flush()
    status = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", port, "repl"], check=False
    ).returncode
    if status:
        raise CommandError(f"{names.escape(port)}: mpremote ended with status {status}")


_PORT = "PORT is what mpremote connects to: a serial device, or socket://HOST:PORT."

COMMANDS = (
    *FLASH_COMMANDS,
    Command(
        None,
        "deploy",
        deploy,
        "Put the packages onto a board with stock firmware.\n\n"
        "They are compiled, copied beside what is there, compared on the board, and then all "
        "take the place of "
        f"the old ones at once; power may fail at any moment. {_PORT}",
        (
            click.argument("port", required=False),
            click.option(
                "--package",
                metavar="NAME",
                multiple=True,
                help="What to deploy, with what it needs; may be repeated. "
                f"Else: {', '.join(packages.DEFAULT)}.",
            ),
            click.option("--store", metavar="FILE", help="A store to go with them, as roots.bin."),
            click.option(
                "--source", is_flag=True, help="The .py files, for a board that loads no such .mpy."
            ),
            click.option(
                "--romfs",
                is_flag=True,
                help="One image for the ROMFS region, which is run and read in place.",
            ),
            click.option(
                "--dry-run",
                is_flag=True,
                help="Print what would be written; with PORT, whether it would fit.",
            ),
        ),
    ),
    Command(
        None,
        "repl",
        repl,
        f"Type at a board, through mpremote.\n\n{_PORT}",
        (click.argument("port"),),
    ),
)
