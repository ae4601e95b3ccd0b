"""`securesocket store …`: what the user typed to calls, and results to text or JSON. Here: building a
store and reading one; the rows of the other verbs are in their modules."""

import os
import pathlib
import time

import click

from certstore.errors import SecureSocketError
from certstore.layout import AT_VERSION
from certstore.store import CertStore

from . import entries, store_check, store_deploy, store_diff, store_edit, store_files, store_hosts
from .errors import CommandError
from .moments import moment, parse_time
from .store_output import (
    JSON,
    STORE_ARGUMENT,
    STORE_OR_MOZILLA,
    contents,
    count,
    identity_facts,
    named,
    say,
    say_entries,
    say_facts,
    say_json,
)
from .table import Command


def build(add, mozilla, only, hosts, spare, keep_going, out, build_time, as_json):
    if spare and not (mozilla and (only or hosts)):
        raise click.UsageError("--spare goes with --hosts or --only, and with Mozilla's roots")
    seconds = parse_build_time(build_time)
    _keep_identities(out)
    pool, skipped = store_files.pool(add, mozilla)
    results = store_hosts.connect(store_hosts.read_hosts(hosts), pool) if hosts else []
    failed = [result for result in results if result.reason]
    chosen = _chosen(pool, only, hosts, results, spare)
    blob = None
    if keep_going or not failed:
        if not chosen and not failed:
            raise CommandError("a store of nothing: give --add FILE, or leave out --no-mozilla")
        if chosen:
            blob = store_files.make(chosen, seconds)
            store_files.write(out, blob)
    if as_json:
        say_json(_build_facts(out, blob, seconds, chosen, skipped, results))
    elif blob:
        _tell_build(out, blob, seconds, chosen, skipped, results, only)
    if failed:
        raise CommandError(_failures(out, blob, failed, len(results)))


def _chosen(pool, only, hosts, results, spare):
    if not (only or hosts):
        return pool
    chosen = [entry for query in only for entry in entries.select(pool, query)]
    chosen += [result.entry for result in results if result.entry]
    if spare:
        chosen += store_hosts.spares(chosen, pool)
    return [entry for entry in pool if entry in chosen]


def _keep_identities(out):
    # A build begins anew: what it would end must not be the only copy of a private key.
    try:
        held = CertStore(pathlib.Path(out).read_bytes()).identity_count
    except (OSError, SecureSocketError):
        return
    if held:
        raise CommandError(
            f"{out}: found {count(held, 'identity', 'identities')} in it, which a build would drop; "
            "change it with store add and store remove, or build to another --out"
        )


def _build_facts(out, blob, seconds, chosen, skipped, results):
    return {
        "store": out if blob else None,
        "bytes": len(blob) if blob else None,
        "build_time": moment(seconds),
        "certificates": [entry.facts() for entry in chosen] if blob else [],
        "skipped": [{"what": each.what, "reason": each.reason} for each in skipped],
        "hosts": [result.facts() for result in results],
    }


def _tell_build(out, blob, seconds, chosen, skipped, results, only):
    for each in skipped:
        say(f"skipped {each.what}: {each.reason}")
    for entry in chosen:
        if entry.certificate.not_after < seconds:
            say(f"note: {entry.title} expired {moment(entry.certificate.not_after)}")
        if entry.kind == "exact":
            say(f"note: {entry.title} is no CA that may sign: it stands for itself only")
    for result in results:
        if result.entry:
            say(f"{result.host}: {result.entry.title}")
    if only or results:
        for entry in chosen:
            say(named(entry))
    say(f"{out}: {count(len(chosen), 'certificate')}, {len(blob)} bytes, build time {moment(seconds)}")


def _failures(out, blob, failed, total):
    outcome = f"{out} has nothing for" if blob else f"{out} is not written; --keep-going leaves out"
    lines = [f"{result.host}: {result.reason}" for result in failed]
    return "\n  ".join([f"{len(failed)} of {count(total, 'host')} failed; {outcome}:", *lines])


def parse_build_time(text):
    """Seconds since 1970, from text if there is any, else from SOURCE_DATE_EPOCH, else now."""
    return parse_time(text or os.environ.get("SOURCE_DATE_EPOCH") or str(int(time.time())), "build time")


def list_(store, as_json):
    opened = store_files.open_store(store)
    if as_json:
        say_json(
            {
                "store": opened.name,
                "certificates": [entry.facts() for entry in opened.entries],
                "identities": [identity_facts(identity) for identity in opened.identities],
            }
        )
        return
    say_entries(opened.entries)
    say(f"{opened.name}: {contents(opened.entries, opened.identities)}")


def find(query, store, as_json):
    opened = store_files.open_store(store)
    found = entries.search(opened.entries, query)
    issued = []
    if not found and entries.is_file(query):
        issued = entries.from_file(query)
        found = [issuer for entry in issued for issuer in store_files.issuers(opened, entry.certificate)]
        found = list(dict.fromkeys(found))
    if not found:
        if issued:
            raise CommandError(f"{opened.name} holds neither {_titles(issued)} nor who issued it")
        raise CommandError(entries.nothing_named(opened.entries, query, opened.name))
    if as_json:
        say_json([entry.facts() for entry in found])
        return
    if issued:
        say(f"{_titles(issued)} is not in {opened.name}; this may have issued it:")
    say_entries(found)


def _titles(found):
    return ", ".join(entry.title for entry in found)


def show(query, store, as_json):
    opened = store_files.open_store(store)
    if query is None:
        facts = _store_facts(opened)
        if as_json:
            say_json(facts)
        else:
            say_facts(*((label.replace("_", " "), value) for label, value in facts.items()))
        return
    found = entries.select(opened.entries, query, opened.name)
    if as_json:
        say_json([entry.facts() for entry in found])
        return
    for number, entry in enumerate(found):
        if number:
            say("")
        _show(entry)


def _show(entry):
    facts = entry.facts()
    rows = [
        ("subject", facts["subject"]),
        ("SKI", facts["ski"]),
        ("valid", f"{facts['not_before']} to {facts['not_after']}"),
        ("key", facts["key"]),
        ("kind", facts["kind"] + _path_length(facts["path_length"])),
        ("stored", "packed: what verification uses of it" if entry.packed else "whole"),
        ("pin", facts["pin"]),
    ]
    if entry.sha256:
        rows.append(("SHA-256", facts["sha256"]))
    if entry.mozilla and entry.mozilla != entry.sha256:
        rows.append(
            ("Mozilla's", f"{facts['mozilla_sha256']}, SHA-256 of the root with this subject and key")
        )
    elif entry.mozilla:
        rows.append(("Mozilla's", "yes"))
    say_facts(*rows)


def _path_length(length):
    return "" if length is None else f", at most {count(length, 'intermediate')}"


def verify(store, as_json):
    try:
        opened = store_files.read_store(store)
    except CommandError as error:
        if as_json:
            cause = error.__cause__
            code = cause.code if isinstance(cause, SecureSocketError) else None
            facts = {"error": type(cause).__name__, "code": code, "message": str(cause)}
            say_json({"store": store or store_files.DEFAULT_STORE, "sound": False, **facts})
        raise
    if as_json:
        say_json({"sound": True, **_store_facts(opened)})
    else:
        say(f"{opened.name}: sound, {contents(opened.entries, opened.identities)}")


def _store_facts(opened):
    return {
        "store": opened.name,
        "version": opened.blob[AT_VERSION],
        "certificates": len(opened.entries),
        "anchors": sum(entry.kind == "anchor" for entry in opened.entries),
        "exact": sum(entry.kind == "exact" for entry in opened.entries),
        "packed": sum(entry.packed for entry in opened.entries),
        "identities": len(opened.identities),
        "hides": len(opened.removed),
        "bytes": opened.store.size,
        "largest_record": opened.store.largest,
        "build_time": moment(opened.store.build_time),
        "sha256": opened.store.digest.hex(),
    }


COMMANDS = (
    Command(
        "store",
        "build",
        build,
        "Build a store: Mozilla's roots, your own, or what hosts need.\n\n"
        "With --only or --hosts, it holds what they choose and nothing else. A host is connected to and "
        "verified against all there is to choose from; its anchor is what the verified chain ends at. If a "
        "host fails, the exit status is 1 and no store is written, except with --keep-going.",
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
                help="Choose this one; may be repeated.",
            ),
            click.option(
                "--hosts",
                metavar="FILE",
                help="Choose the anchors of these hosts: a HOST or HOST:PORT in each line.",
            ),
            click.option(
                "--spare",
                is_flag=True,
                help="Choose also the other roots of Mozilla's that the operators of the chosen ones have.",
            ),
            click.option(
                "--keep-going",
                is_flag=True,
                help="Write the store without the hosts that fail; the exit status is 1 all the same.",
            ),
            click.option(
                "--out",
                metavar="FILE",
                default=store_files.DEFAULT_STORE,
                show_default=True,
                help="The store to write.",
            ),
            click.option(
                "--build-time",
                metavar="TIME",
                help="Seconds since 1970, or ISO 8601; else SOURCE_DATE_EPOCH, else now.",
            ),
            JSON,
        ),
    ),
    Command(
        "store",
        "list",
        list_,
        "List the certificates of a store.\n\nWithout one, of ./roots.bin, else of Mozilla's roots.",
        (STORE_ARGUMENT, JSON),
    ),
    Command(
        "store",
        "show",
        show,
        "Show a certificate in full, or what the store itself is.\n\n"
        "The certificate is named by its subject, its SKI, a SHA-256, or a file that holds it.",
        (click.argument("query", metavar="[SKI|SUBJECT|FILE]", required=False), STORE_OR_MOZILLA, JSON),
    ),
    Command(
        "store",
        "find",
        find,
        "Find certificates by SKI, a part of a subject, or a file.\n\n"
        "A file holds what is looked for, or what it has issued.",
        (click.argument("query", metavar="SKI|SUBJECT|FILE"), STORE_OR_MOZILLA, JSON),
    ),
    *store_edit.COMMANDS,
    *store_diff.COMMANDS,
    Command(
        "store",
        "verify",
        verify,
        "Verify every byte of a store; exit status 1 if it is damaged.\n\nWho built it, no store can tell.",
        (STORE_ARGUMENT, JSON),
    ),
    *store_check.COMMANDS,
    *store_deploy.COMMANDS,
)
