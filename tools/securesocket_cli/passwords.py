"""Passwords of keys: from a file, the environment or the terminal; never from the command line.

A command line is in the shell's history and in every user's list of processes.
"""

import os
import pathlib
import sys
from typing import NamedTuple

import click

from .errors import CommandError, about

# A file of this size is something else than a password.
_MAX_FILE = 4096


class Role(NamedTuple):
    """Which of a command's passwords: the option that names its file, and its environment variable."""

    option: str
    variable: str


OWN = Role("--password-file", "SECURESOCKET_PASSWORD")
CA = Role("--ca-password-file", "SECURESOCKET_CA_PASSWORD")
SOURCE = Role("--source-password-file", "SECURESOCKET_SOURCE_PASSWORD")
NEW = Role("--new-password-file", "SECURESOCKET_NEW_PASSWORD")


def read(role, path, what, confirm=False):
    """The password of `what`, bytes: of the file at `path`, else of the environment, else asked for.

    confirm: whether it is a new one, which is asked for twice.
    """
    if path is not None:
        with about(path):
            data = pathlib.Path(path).read_bytes()
        return _checked(data, f"{path}: ")
    if role.variable in os.environ:
        return _checked(os.fsencode(os.environ[role.variable]), f"{role.variable}: ")
    if not sys.stdin.isatty():
        raise CommandError(
            f"{what} needs a password, and there is no terminal to ask on; "
            f"expected {role.option} FILE, or {role.variable} in the environment"
        )
    text = f"{'New password' if confirm else 'Password'} for {what}"
    return click.prompt(text, hide_input=True, confirmation_prompt=confirm, err=True).encode()


def is_given(role, path):
    """Whether `read` would find it without asking."""
    return path is not None or role.variable in os.environ


def _checked(data, source):
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    if not line or b"\n" in line or len(line) > _MAX_FILE:
        found = "nothing" if not line else "several lines" if b"\n" in line else f"{len(line)} bytes"
        raise CommandError(f"{source}found {found}; expected one line with a password")
    return line
