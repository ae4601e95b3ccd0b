"""`securesocket store add|remove|merge`: a store changed in its file, at once or not at all.

Its build time stays: it says since when the store is, not what was last done to it.
"""

import hmac
import pathlib

import click

from certstore import names

from . import entries, store_files
from .entries import Holders
from .errors import CommandError
from .moments import moment
from .store_output import STORE_OPTION, contents, named, say
from .table import Command


def add(what, store):
    opened = store_files.read_store(store)
    asked, skipped = [], []
    for each in what:
        found, refused = _asked(each)
        asked += found
        skipped += refused
    for each in skipped:
        say(f"skipped {each.what}: {each.reason}")
    kept, lines = _added(opened, asked)
    _finish(opened, kept, lines)


def _asked(what):
    # (entries, skipped) of a file or folder, else of Mozilla's set.
    try:
        exists = pathlib.Path(what).exists()
    except (OSError, ValueError):
        exists = False
    if exists:
        return entries.from_path(what)
    where = f"{entries.mozilla_title()}, nor a file of that name"
    return entries.select(entries.mozilla()[0], what, where), []


def _added(opened, more):
    # (entries, lines that tell): the store's, then those of `more` that it does not have.
    kept, held, lines = list(opened.entries), Holders(opened.entries), []
    for entry in more:
        if held.equal(entry):
            lines.append(f"  {named(entry)}: there already")
            continue
        lines.append(f"+ {named(entry)}")
        for other in held.of(entry):
            lines.append(f"  note: the same subject and key is there, until {_until(other)}")
        if entry.kind == "exact":
            lines.append("  note: no CA that may sign: it stands for itself only")
        held.add(entry)
        kept.append(entry)
    return kept, lines


def _until(entry):
    return moment(entry.certificate.not_after)


def remove(query, take_all, store):
    opened = store_files.read_store(store)
    gone = []
    for each in query:
        entries.select(opened.entries, each, opened.name)
        for group in entries.choices(opened.entries, each):
            if len(group) > 1 and not take_all:
                raise CommandError(_ambiguous(each, group))
            gone += group
    kept = [entry for entry in opened.entries if entry not in gone]
    lines = [f"- {named(entry)}" for entry in dict.fromkeys(gone)]
    _finish(opened, kept, lines)


def _ambiguous(query, group):
    lines = [f"{named(entry)}, until {_until(entry)}" for entry in group]
    text = f'"{names.escape(query)}" names {len(group)} certificates; give an SKI or a file, or --all:'
    return "\n  ".join([text, *lines])


def merge(stores, store):
    opened = store_files.read_store(store)
    more, identities, removed, told = [], list(opened.identities), list(opened.removed), []
    for other in map(store_files.read_store, stores):
        more += other.entries
        new = _new_identities(identities, other)
        identities += new
        told += [f"+ identity {names.escape(identity.label)}" for identity in new]
        hidden = [row for row in other.removed if row not in removed]
        removed += hidden
        told += [f"+ hides {ski.hex()} of a store below" for ski, _ in hidden]
    kept, lines = _added(opened, more)
    _finish(opened, kept, lines + told, identities, removed)


def _new_identities(held, other):
    by_label = {identity.label: identity for identity in held}
    new = []
    for identity in other.identities:
        mine = by_label.get(identity.label)
        if mine is None:
            new.append(identity)
        elif not same_identity(mine, identity):
            raise CommandError(
                f"{other.name}: its identity {names.escape(identity.label)} is another than that of this "
                "label here; nothing is written; remove one of the two first"
            )
    return new


def same_identity(a, b):
    """Whether label, chain and private key are equal; the time it takes does not depend on the key."""
    keys = hmac.compare_digest(bytes(a.key), bytes(b.key))
    return a.label == b.label and list(map(bytes, a.chain)) == list(map(bytes, b.chain)) and keys


def _finish(opened, kept, lines, identities=None, removed=None):
    identities = opened.identities if identities is None else identities
    removed = opened.removed if removed is None else removed
    changed = [
        len(new) != len(old)
        for new, old in ((kept, opened.entries), (identities, opened.identities), (removed, opened.removed))
    ]
    blob = store_files.rewrite(opened, kept, identities, removed) if any(changed) else opened.blob
    for line in lines:
        say(line)
    outcome = f"{len(blob)} bytes" if any(changed) else "unchanged"
    say(f"{opened.name}: {contents(kept, identities)}, {outcome}")


COMMANDS = (
    Command(
        "store",
        "add",
        add,
        "Add certificates: from files, or Mozilla's by subject or SKI.\n\nWhat a store holds, merge adds.",
        (click.argument("what", metavar="FILE|FOLDER|SUBJECT|SKI...", nargs=-1, required=True), STORE_OPTION),
    ),
    Command(
        "store",
        "remove",
        remove,
        "Remove certificates from a store.\n\nWhat names more than one removes none, except with --all.",
        (
            click.argument("query", metavar="SKI|SUBJECT|FILE...", nargs=-1, required=True),
            click.option("--all", "take_all", is_flag=True, help="Remove all that are named."),
            STORE_OPTION,
        ),
    ),
    Command(
        "store",
        "merge",
        merge,
        "Add what other stores hold, identities too.",
        (click.argument("stores", metavar="FILE...", nargs=-1, required=True), STORE_OPTION),
    ),
)
