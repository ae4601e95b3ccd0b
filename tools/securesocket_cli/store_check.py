"""`securesocket store check`: which anchors of a store want attention, for a person or a CI job.

Checked: the end of validity; the strength of the key; whether it is (still) one of Mozilla's roots, or
named as one's own. Not checked: revocation, and when an anchor's validity begins.
"""

import time

import click

from . import entries, store_files
from .entries import Holders
from .moments import DAY_S, moment, parse_days, parse_time
from .store_output import JSON, STORE_ARGUMENT, count, say, say_json, say_table, trouble
from .table import Command

# Bits below which a key is weak, by its kind; of other kinds no board here verifies a signature.
_STRENGTH = {"RSA": 2048, "EC": 256}

EXPIRED, EXPIRES, WEAK, NOT_MOZILLA = "expired", "expires", "weak", "not-mozilla"


def findings(found, now, days, own):
    """[(finding, entry, detail)] of entries: in their order, and for each in that of the checks.

    now: seconds since 1970; days: how far ahead an end of validity counts; own: entries that need not
    be Mozilla's.
    """
    own = Holders(own)
    return [
        (finding, entry, detail)
        for entry in found
        for finding, detail in (_end(entry, now, days), _strength(entry), _origin(entry, own))
        if detail
    ]


def _end(entry, now, days):
    end = entry.certificate.not_after
    if end < now:
        return EXPIRED, moment(end)
    left = (end - now) // DAY_S
    return EXPIRES, f"{moment(end)}, in {count(left, 'day')}" if left < days else None


def _strength(entry):
    bits = entry.certificate.key_bits
    least = _STRENGTH.get(entry.certificate.key_type)
    if least is None:
        return WEAK, f"a key of unknown kind, {entry.key}"
    return WEAK, f"{entry.key}, expected {least} bits or more" if bits < least else None


def _origin(entry, own):
    if entry.mozilla or own.of(entry):
        return NOT_MOZILLA, None
    return NOT_MOZILLA, f"not in {entries.mozilla_title()}: it has left, or is your own: --own names those"


def check(store, days, own, now, as_json):
    with trouble():
        opened = store_files.read_store(store)
        mine = [entry for path in own for entry in entries.from_path(path)[0]]
        now = parse_time(now, "--now") if now else int(time.time())
    rows = findings(opened.entries, now, days, mine)
    if as_json:
        say_json(
            {
                "store": opened.name,
                "now": moment(now),
                "within_days": days,
                "mozilla": entries.mozilla_title(),
                "certificates": len(opened.entries),
                "findings": [
                    {"finding": finding, "detail": detail, **entry.facts()} for finding, entry, detail in rows
                ],
            }
        )
    else:
        if rows:
            say_table(
                ("finding", "SKI", "name", "detail"), [(f, e.ski.hex(), e.title, d) for f, e, d in rows]
            )
        told = f"{count(len(opened.entries), 'certificate')}, {count(len(rows), 'finding')}"
        say(f"{opened.name}: {told} at {moment(now)[:10]}, within {days} days")
    if rows:
        raise click.exceptions.Exit(1)


class _Days(click.ParamType):
    name = "duration"

    def convert(self, value, param, ctx):
        if isinstance(value, int):
            return value
        try:
            return parse_days(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


COMMANDS = (
    Command(
        "store",
        "check",
        check,
        "Check which anchors expire, are weak, or have left Mozilla's set.\n\n"
        "A store does not tell where its anchors come from: what is not in the set of today is reported, "
        "unless --own names it. Exit status 0 if there is nothing to report, 1 if there is, 2 for trouble.",
        (
            STORE_ARGUMENT,
            click.option(
                "--within",
                "days",
                metavar="DURATION",
                type=_Days(),
                default="90d",
                show_default=True,
                help="Report what expires within this time: 90d, 12w, 2y.",
            ),
            click.option(
                "--own",
                metavar="FILE|FOLDER",
                multiple=True,
                help="CAs that are meant to be there and not Mozilla's; may be repeated.",
            ),
            click.option("--now", metavar="TIME", hidden=True),
            JSON,
        ),
    ),
)
