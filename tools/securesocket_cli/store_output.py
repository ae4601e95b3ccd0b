"""What the verbs of `securesocket store` share: how they name a store, and how they print."""

import contextlib
import json

import click
from rich.table import Table
from rich.text import Text

from certstore import names

from .errors import CommandError
from .moments import moment
from .table import console

# A verb about a whole store takes it as its argument; one about certificates takes those, and --store.
STORE_ARGUMENT = click.argument("store", metavar="[STORE]", required=False)
STORE_OPTION = click.option("--store", metavar="FILE", help="The store; else ./roots.bin.")
STORE_OR_MOZILLA = click.option(
    "--store", metavar="FILE", help="The store to read; else ./roots.bin, else Mozilla's roots."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def say(line):
    click.echo(line)


def say_facts(*rows):
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        say(f"{click.style(label.ljust(width), bold=True)}  {value}")


def say_json(value):
    click.echo(json.dumps(value, indent=2))


def say_table(titles, rows):
    """A table of texts; the last column may be folded on a narrow terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, no_wrap=title != titles[-1])
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)


def say_entries(found):
    """One line for each entry."""
    rows = (
        (e.ski.hex(), moment(e.certificate.not_after)[:10], e.key, e.kind, e.title)
        for e in sorted(found, key=lambda entry: entry.title.casefold())
    )
    say_table(("SKI", "until", "key", "kind", "name"), rows)


def named(entry):
    """An entry in a line of text, so that it can be asked for."""
    return f"{entry.ski.hex()}  {entry.title}"


def count(number, what, several=None):
    """ "1 certificate", "2 identities"."""
    return f"{number} {what if number == 1 else several or what + 's'}"


def contents(entries, identities):
    """What a store holds, in words."""
    text = count(len(entries), "certificate")
    return f"{text}, {count(len(identities), 'identity', 'identities')}" if identities else text


def identity_facts(identity):
    return {
        "label": names.escape(identity.label),
        "subject": identity.subject,
        "ski": identity.ski.hex(),
        "encrypted": identity.encrypted,
    }


@contextlib.contextmanager
def trouble():
    """For verbs whose exit status 1 is an answer: what keeps them from one has 2, as of diff and grep."""
    try:
        yield
    except CommandError as error:
        error.exit_code = 2
        raise
