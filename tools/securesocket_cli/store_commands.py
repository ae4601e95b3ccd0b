"""`securesocket store …`: what the user typed to calls, and results to text or JSON."""

import datetime
import json
import os
import time

import click
from rich.table import Table
from rich.text import Text

from certstore import names

from . import entries, store_files
from .errors import CommandError
from .table import Command, console

# 9999-12-31 23:59:59, the last time that a certificate can name.
_LAST_SECOND = 253402300799

_STORE = click.option(
    "--store", metavar="FILE", help="The store to read; else ./roots.bin, else Mozilla's roots."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def build(add, mozilla, only, out, module, build_time):
    seconds = parse_build_time(build_time)
    built = store_files.build(add, mozilla, only, seconds)
    if out is None and module is None:
        out = store_files.DEFAULT_STORE
    if out is not None:
        store_files.write(out, built.blob)
    if module is not None:
        store_files.write(module, store_files.module_source(built).encode())
    for skipped in built.skipped:
        _say(f"skipped {skipped.what}: {skipped.reason}")
    for entry in built.entries:
        if entry.certificate.not_after < seconds:
            _say(f"note: {entry.title} expired {entries.moment(entry.certificate.not_after)}")
        if entry.kind == "exact":
            _say(f"note: {entry.title} is no CA that may sign: it stands for itself only")
    if only:
        for entry in built.entries:
            _say(f"{entry.certificate.ski.hex()}  {entry.title}")
    count = len(built.entries)
    _say(
        f"{' and '.join(filter(None, (out, module)))}: {count} certificate{'s' * (count != 1)}, "
        f"{len(built.blob)} bytes, build time {entries.moment(seconds)}"
    )


def parse_build_time(text):
    """Seconds since 1970 from a number, or a date or time in ISO 8601 (UTC unless it says otherwise)."""
    if text is None:
        text = os.environ.get("SOURCE_DATE_EPOCH") or str(int(time.time()))
    try:
        seconds = int(text)
    except ValueError:
        try:
            moment = datetime.datetime.fromisoformat(text)
        except ValueError:
            raise CommandError(
                f'build time "{names.escape(text)}": expected seconds since 1970, or 2026-01-31'
            ) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        seconds = int(moment.timestamp())
    if not 0 <= seconds <= _LAST_SECOND:
        raise CommandError(f"build time {seconds}: expected a time of the years 1970 to 9999")
    return seconds


def list_(store, as_json):
    opened = store_files.open_store(store)
    if as_json:
        _json({"store": opened.name, "certificates": [entry.facts() for entry in opened.entries]})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("SKI", "until", "key", "kind", "name"):
        table.add_column(title, no_wrap=title != "name")
    for entry in sorted(opened.entries, key=lambda entry: entry.title.casefold()):
        until = entries.moment(entry.certificate.not_after)[:10]
        row = (entry.certificate.ski.hex(), until, entry.key, entry.kind, entry.title)
        table.add_row(*map(Text, row))
    console().print(table)
    _say(f"{len(opened.entries)} certificates in {opened.name}")


def find(query, store, as_json):
    opened = store_files.open_store(store)
    found = entries.search(opened.entries, query)
    issued = None
    if not found and entries.is_file(query):
        asked = entries.from_file(query)
        found = [issuer for entry in asked for issuer in store_files.issuers(opened, entry.certificate)]
        found = list(dict.fromkeys(found))
        issued = ", ".join(entry.title for entry in asked)
    if not found:
        if issued is not None:
            raise CommandError(f"{opened.name} holds neither {issued} nor who issued it")
        raise CommandError(entries.nothing_named(opened.entries, query, opened.name))
    if as_json:
        _json([entry.facts() for entry in found])
        return
    for entry in found:
        if issued is not None:
            _say(f"not in the store; this may have issued it: {entry.title}")
        _show(entry.facts())


def _show(facts):
    _say_facts(
        ("subject", facts["subject"]),
        ("SKI", facts["ski"]),
        ("valid", f"{facts['not_before']} to {facts['not_after']}"),
        ("key", facts["key"]),
        ("kind", facts["kind"] + _path_length(facts["path_length"])),
        ("SHA-256", facts["sha256"]),
    )


def _path_length(length):
    return "" if length is None else f", at most {length} intermediate{'s' * (length != 1)}"


def info(store, as_json):
    opened = store_files.open_store(store)
    facts = {
        "store": opened.name,
        "version": opened.store.version,
        "certificates": len(opened.store),
        "anchors": sum(entry.kind == "anchor" for entry in opened.entries),
        "exact": sum(entry.kind == "exact" for entry in opened.entries),
        "bytes": opened.store.size,
        "largest_record": opened.store.largest,
        "build_time": entries.moment(opened.store.build_time),
        "sha256": opened.store.digest.hex(),
        "verified": opened.store.verified,
    }
    if as_json:
        _json(facts)
        return
    _say_facts(*((label.replace("_", " "), value) for label, value in facts.items()))


def _say(line):
    click.echo(line)


def _say_facts(*rows):
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        _say(f"{click.style(label.ljust(width), bold=True)}  {value}")


def _json(value):
    click.echo(json.dumps(value, indent=2))


COMMANDS = (
    Command(
        "store",
        "build",
        build,
        "Build a store of trust anchors: Mozilla's roots, your own certificates, or a choice of them.",
        (
            click.option(
                "--add",
                metavar="FILE|FOLDER",
                multiple=True,
                help="Certificates in PEM or DER to add; may be repeated.",
            ),
            click.option("--no-mozilla", "mozilla", flag_value=False, default=True, help="Only those added."),
            click.option(
                "--only",
                metavar="SUBJECT|SKI|FILE",
                multiple=True,
                help="Keep only this one; may be repeated.",
            ),
            click.option("--out", metavar="FILE", help="The store to write: roots.bin, if nothing is named."),
            click.option(
                "--module", metavar="FILE.py", help="Write a module to freeze, with the store as DATA."
            ),
            click.option(
                "--build-time",
                metavar="TIME",
                help="Seconds since 1970, or ISO 8601; else SOURCE_DATE_EPOCH, else now.",
            ),
        ),
    ),
    Command("store", "list", list_, "List the certificates of a store.", (_STORE, _JSON)),
    Command(
        "store",
        "find",
        find,
        "Find certificates by SKI, by subject, or by a file that holds one or what it issued.",
        (click.argument("query", metavar="SKI|SUBJECT|FILE"), _STORE, _JSON),
    ),
    Command("store", "info", info, "Verify a store and tell what it is.", (_STORE, _JSON)),
)
