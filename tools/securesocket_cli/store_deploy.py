"""`securesocket store frozen|romfs|push|tag`: a store in the form in which a device takes it."""

import hashlib
import pathlib
import re
import sys

import click

from certstore import names
from certstore.layout import JOURNAL
from certstore.replace import tag as make_tag

from . import store_files
from .errors import CommandError, about
from .store_output import STORE_ARGUMENT, contents, say
from .table import Command
from .transport import mpremote, need_mpremote

# Where a device looks for a store that it was not told of.
DEFAULT_MODULE = "securesocket_roots.py"
DEFAULT_ROMFS = "roots.romfs"
DEFAULT_TARGET = ":roots.bin"
_ROMFS_NAME = "roots.bin"
# An HMAC's key is as long as its hash, or longer (RFC 2104 section 3).
MIN_TAG_KEY = 32

# On the board: what was copied and checked takes the place of the store. An update that power was lost in
# would win over it when the store is next opened, so it goes first.
_SWITCH = """
import os
try:
    os.remove({journal!r})
except OSError as error:
    if error.errno != 2:
        raise
os.rename({part!r}, {target!r})
"""


def frozen(store, out):
    opened = store_files.read_store(store)
    _write(opened, out, store_files.module_source(opened).encode())
    say(f'for manifest.py: module("{pathlib.Path(out).name}", base_path="{pathlib.Path(out).parent}")')


def romfs(store, out):
    opened = store_files.read_store(store)
    need_mpremote()
    from mpremote.romfs import VfsRomWriter

    image = VfsRomWriter()
    image.mkfile(_ROMFS_NAME, opened.blob)
    _write(opened, out, image.finalise())
    say(f"on the board it is /rom/{_ROMFS_NAME}: mpremote romfs deploy {out}")


def tag(store, key_file, out):
    opened = store_files.read_store(store)
    with about(key_file):
        key = pathlib.Path(key_file).read_bytes()
    if len(key) < MIN_TAG_KEY:
        raise CommandError(
            f"{key_file}: found {len(key)} bytes, expected {MIN_TAG_KEY} or more, as random as can be"
        )
    _write(opened, out, opened.blob + make_tag(opened.blob, key))


def _write(opened, out, data):
    # What holds private keys is its owner's to read.
    store_files.write(out, data, private=bool(opened.identities))
    say(f"{out}: {contents(opened.entries, opened.identities)}, {len(data)} bytes")
    for identity in opened.identities:
        if not identity.encrypted:
            say(f"note: it holds the private key of {names.escape(identity.label)}, not encrypted")


def push(store, port, to):
    opened = store_files.read_store(store)
    if not re.fullmatch(r":[^\0]*[^/\0]", to):
        raise click.UsageError(
            f'--to: found "{names.escape(to)}", expected a file on the board, as {DEFAULT_TARGET}'
        )
    need_mpremote()
    target = to[1:]
    part = target + ".part"
    connect = ["connect", port] if port else []
    try:
        # mpremote's own progress bar, on a terminal only.
        local = str(pathlib.Path(opened.name).resolve())
        mpremote([*connect, "fs", "--force", "cp", local, ":" + part], shown=sys.stdout.isatty())
        _compare(opened.blob, mpremote([*connect, "resume", "fs", "sha256sum", ":" + part]))
    except CommandError:
        _forget([*connect, "resume", "fs", "rm", ":" + part])
        raise
    switch = _SWITCH.format(journal=target + JOURNAL, part=part, target=target)
    mpremote([*connect, "resume", "exec", switch])
    say(f"{to}: {contents(opened.entries, opened.identities)}, {len(opened.blob)} bytes, as they are here")


def _compare(blob, said):
    expected = hashlib.sha256(blob).hexdigest()
    if expected not in said.split():
        raise CommandError(
            f"what arrived on the board is not what was sent, expected SHA-256 {expected}; "
            "its old store is untouched; push again"
        )


def _forget(words):
    # Half a copy takes up flash; if the board is gone, there is no more to be done.
    try:
        mpremote(words)
    except CommandError:
        pass


_OUT = {"metavar": "FILE", "show_default": True}

COMMANDS = (
    Command(
        "store",
        "frozen",
        frozen,
        "Write a module to freeze into firmware, with the store as DATA.\n\n"
        f"A device finds it by the name {DEFAULT_MODULE}.",
        (STORE_ARGUMENT, click.option("--out", default=DEFAULT_MODULE, help="The module to write.", **_OUT)),
    ),
    Command(
        "store",
        "romfs",
        romfs,
        "Write a ROMFS image with the store, to be read in place.\n\n"
        f"On the board it is /rom/{_ROMFS_NAME}. Deploying an image replaces all of that partition.",
        (STORE_ARGUMENT, click.option("--out", default=DEFAULT_ROMFS, help="The image to write.", **_OUT)),
    ),
    Command(
        "store",
        "push",
        push,
        "Copy a store to a board through mpremote.\n\n"
        "It is verified here, copied beside the old store, compared on the board, and only then put in its "
        "place.",
        (
            STORE_ARGUMENT,
            click.option(
                "--port", metavar="DEVICE", help="The board, as mpremote connects to it; else the first."
            ),
            click.option(
                "--to",
                metavar=":PATH",
                default=DEFAULT_TARGET,
                show_default=True,
                help="The file on the board.",
            ),
        ),
    ),
    Command(
        "store",
        "tag",
        tag,
        "Append a tag that tells a device who built an update.\n\n"
        "It is an HMAC-SHA256 under a key that the device has too.",
        (
            STORE_ARGUMENT,
            click.option(
                "--key-file",
                metavar="FILE",
                required=True,
                help=f"The key, {MIN_TAG_KEY} random bytes or more: openssl rand -out FILE {MIN_TAG_KEY}",
            ),
            click.option("--out", metavar="FILE", required=True, help="The store with its tag."),
        ),
    ),
)
