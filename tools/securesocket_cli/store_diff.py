"""`securesocket store diff`: what one store holds and another does not."""

import dataclasses

import click

from certstore import names

from . import store_files
from .entries import Entry, Holders
from .moments import moment
from .store_edit import same_identity
from .store_output import JSON, named, say, say_json, trouble
from .table import Command


@dataclasses.dataclass(frozen=True)
class Change:
    """Two entries of one subject and key that differ."""

    before: Entry
    after: Entry

    def fields(self):
        """{field: (before, after)} of the facts that differ; of none where other extensions do."""
        old, new = self.before.facts(), self.after.facts()
        return {field: (old[field], new[field]) for field in old if old[field] != new[field]}


def compare(a, b):
    """(entries only in a, only in b, Changes) of two opened stores."""
    left = [entry for entry in a.entries if not Holders(b.entries).equal(entry)]
    right = [entry for entry in b.entries if not Holders(a.entries).equal(entry)]
    changes = []
    for entry in list(left):
        others = Holders(right).of(entry)
        if others:
            changes.append(Change(entry, others[0]))
            left.remove(entry)
            right.remove(others[0])
    return left, right, changes


def compare_identities(a, b):
    """(labels only in a, only in b, of different content), safe to print."""
    left = {identity.label: identity for identity in a.identities}
    right = {identity.label: identity for identity in b.identities}
    changed = [label for label in left if label in right and not same_identity(left[label], right[label])]
    labels = ([x for x in left if x not in right], [x for x in right if x not in left], changed)
    return tuple(list(map(names.escape, found)) for found in labels)


def compare_removed(a, b):
    """(SKIs that only a hides of a store below, that only b does), in hex."""
    return tuple(
        [ski.hex() for ski, hash4 in mine.removed if (ski, hash4) not in other.removed]
        for mine, other in ((a, b), (b, a))
    )


def diff(a, b, as_json):
    with trouble():
        before, after = store_files.read_store(a), store_files.read_store(b)
    removed, added, changes = compare(before, after)
    labels = compare_identities(before, after)
    hides = compare_removed(before, after)
    if as_json:
        _as_json(before, after, removed, added, changes, labels, hides)
    else:
        _as_text(removed, added, changes, labels, hides)
    if removed or added or changes or any(labels) or any(hides):
        raise click.exceptions.Exit(1)


def _as_json(before, after, removed, added, changes, labels, hides):
    say_json(
        {
            "a": {"store": before.name, "build_time": moment(before.store.build_time)},
            "b": {"store": after.name, "build_time": moment(after.store.build_time)},
            "only_a": [entry.facts() for entry in removed],
            "only_b": [entry.facts() for entry in added],
            "changed": [{"a": change.before.facts(), "b": change.after.facts()} for change in changes],
            "identities": dict(zip(("only_a", "only_b", "changed"), labels, strict=True)),
            "hides": dict(zip(("only_a", "only_b"), hides, strict=True)),
        }
    )


def _as_text(removed, added, changes, labels, hides):
    for sign, entries in (("-", removed), ("+", added)):
        for entry in entries:
            say(f"{sign} {named(entry)}")
    for change in changes:
        say(f"~ {named(change.before)}")
        for field, (old, new) in change.fields().items():
            say(f"    {field.replace('_', ' ')}: {old} → {new}")
    for sign, of_kind in zip("-+~", labels, strict=True):
        for label in of_kind:
            say(f"{sign} identity {label}")
    for sign, skis in zip("-+", hides, strict=True):
        for ski in skis:
            say(f"{sign} hides {ski} of a store below")


COMMANDS = (
    Command(
        "store",
        "diff",
        diff,
        "Compare what two stores hold; exit status as of diff.\n\n"
        "Printed: - only in A, + only in B, ~ other terms for the same subject and key. The build time is "
        "not compared. Exit status 0 if they hold the same, 1 if not, 2 for trouble.",
        (click.argument("a", metavar="A"), click.argument("b", metavar="B"), JSON),
    ),
)
