"""What the verbs of `securesocket identity` share: their options, and what they say."""

import click

from certstore import names

from . import identity_files as files
from . import issuing, passwords
from .entries import Entry
from .moments import moment
from .store_output import say

# PBKDF2's rounds for a key that a device opens: about a second at 240 MHz.
DEVICE_ITERATIONS = 10_000
# What a device takes unasked: certstore.pbes2.UNASKED_ITERATIONS there.
UNASKED_ITERATIONS = 100_000
_MIN_ITERATIONS, _MAX_ITERATIONS = 1_000, 1_000_000
_MAX_DAYS = 36_500


def _file_option(name, text):
    return click.option(name, metavar="FILE", help=text)


def _password_option(role, text):
    return _file_option(role.option, f"{text}; else {role.variable}, else it is asked for.")


STORE = _file_option("--store", "The store; else ./device.bin.")
_CA_KEY = (
    _file_option("--ca-key", "The CA's key; else as --ca, but ending in .key."),
    _password_option(passwords.CA, "Password of the CA's key"),
)
_CA = "The CA's certificate, with those above it."
CA = (_file_option("--ca", _CA), *_CA_KEY)
REQUIRED_CA = (click.option("--ca", metavar="FILE", required=True, help=_CA), *_CA_KEY)
KEY = click.option(
    "--key", type=click.Choice(list(issuing.KEYS)), default="p256", show_default=True, help="Kind of key."
)
DAYS = click.option("--days", type=click.IntRange(1, _MAX_DAYS), help="Days of validity, as far as the CA's.")
SUBJECT = click.option("--subject", metavar="DN", help="Subject, as CN=device-17,O=Acme; else CN=NAME.")
HOST = click.option(
    "--host", metavar="NAME|IP", multiple=True, help="A host that it is for; may be repeated."
)
USAGE = click.option(
    "--for",
    "usage",
    type=click.Choice(list(issuing.USAGES)),
    help="What it is for; else client, or both if it names hosts.",
)
WITH_ROOT = click.option("--with-root", is_flag=True, help="Keep the root at the end of the chain too.")
FORCE = click.option("--force", is_flag=True, help="Overwrite files, replace an identity of the same label.")
PLAIN = click.option("--plain", is_flag=True, help="Do not encrypt the key.")
PASSWORD = _password_option(passwords.OWN, "Password of the key")
NEW_PASSWORD = _password_option(passwords.NEW, "New password")
SOURCE_PASSWORD = _password_option(passwords.SOURCE, "Password that opens the file")
EXPORT_PASSWORD = _file_option(
    passwords.NEW.option, f"Password for the exported file; else {passwords.NEW.variable}, else the store's."
)
ITERATIONS = click.option(
    "--iterations",
    type=click.IntRange(_MIN_ITERATIONS, _MAX_ITERATIONS),
    default=DEVICE_ITERATIONS,
    show_default=True,
    help=f"PBKDF2's rounds in the store; a device refuses more than {UNASKED_ITERATIONS} unless asked.",
)


def out(text, required=False):
    return click.option("--out", metavar="NAME", required=required, help=text)


def name(text):
    return click.option("--name", metavar="NAME", required=True, help=text)


def say_files(outputs, der, password):
    """One line for each file: of a key how it is protected, of a certificate what it is."""
    described = _described(Entry.of(der, ""))
    for output in outputs:
        text = f"private key, {protection(password)}" if output.mode == files.SECRET else described
        say(f"{output.path}: {text}")


def say_identity(held, stored, password, iterations):
    """What was put into a store."""
    described = _described(Entry.of(bytes(stored.chain[0]), held.path))
    label = names.escape(stored.label)
    say(f'{held.path}: identity "{label}": {described}; private key {protection(password)}')
    if password is not None and iterations > UNASKED_ITERATIONS:
        say_note(
            f"a device refuses more than {UNASKED_ITERATIONS} iterations unless its program asks for them: "
            f"unlock(password, max_iterations={iterations})"
        )


def say_note(text):
    """A remark, if there is one."""
    if text:
        say(f"note: {text}")


def say_usage(usage, alternatives):
    if usage != "client" and not alternatives:
        say_note("it is for a server but names no host (--host): most clients will refuse it")


def protection(password):
    return "NOT encrypted" if password is None else "encrypted"


def _described(entry):
    until = moment(entry.certificate.not_after)[:10]
    return f"{entry.subject}, {entry.key}, until {until}, SKI {entry.ski.hex()}"
