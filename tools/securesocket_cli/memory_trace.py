"""A traced connection: what the device told of it, as a file, and as a curve of the heap.

Verified when a trace is read, in this order: it is JSON of at most MAX_BYTES; format and version; every fact
is one of FACTS and of its type; every event has five parts of their types, and times do not go back. What is
left out is left out: a trace of a connection that failed has few facts.
"""

import dataclasses
import itertools
import json
import pathlib

from certstore import names

from .errors import CommandError, about

FORMAT = "securesocket-trace"
VERSION = 1
MAX_BYTES = 1 << 20
MAX_EVENTS = 1000
# Larger than any heap or message here; smaller than what a float holds exactly.
_MAX_NUMBER = 1 << 40
_MAX_TEXT = 2000
_WAYS = ("<", ">", "=")


def _is_number(value):
    return type(value) is int and 0 <= value <= _MAX_NUMBER


def _is_text(value):
    return isinstance(value, str) and len(value) <= _MAX_TEXT


def _is_flag(value):
    return isinstance(value, bool)


def _is_texts(value):
    return isinstance(value, (list, tuple)) and len(value) <= 20 and all(map(_is_text, value))


# A fact, or a part of one, and what it may be; a dict has parts, each of which may be None or left out.
FACTS = {
    "machine": _is_text,
    "micropython": _is_text,
    "mbedtls": _is_text,
    "engine": _is_text,
    "target": _is_text,
    "host": _is_text,
    "heap": _is_text,
    "heap_free": _is_number,
    "heap_bytes": _is_number,
    "peak_bytes": _is_number,
    "budget": {
        "needed": _is_number,
        "largest_needed": _is_number,
        "free": _is_number,
        "largest_block": _is_number,
        "reserve": _is_number,
        "fits": _is_flag,
        "key": _is_text,
    },
    "error": {"class": _is_text, "code": _is_text, "text": _is_text},
    "report": {
        "handshake_ms": _is_number,
        "verify_ms": _is_number,
        "heap_before": _is_number,
        "heap_lowest": _is_number,
        "heap_after": _is_number,
        "bytes_received": _is_number,
        "bytes_sent": _is_number,
        "largest_record": _is_number,
        "chain": _is_texts,
        "anchor": _is_text,
        "anchor_source": _is_text,
        "cipher": _is_text,
        "version": _is_text,
    },
}


@dataclasses.dataclass(frozen=True)
class Event:
    """As the tracer tells it: at_ms, way ("<" received, ">" sent, "=" ours), name, size, heap_free."""

    at_ms: int
    way: str
    name: str
    size: int
    heap_free: int

    @property
    def failed(self):
        return self.way == "=" and self.name.startswith("failed")


@dataclasses.dataclass(frozen=True)
class Trace:
    """facts: {name: value}, as in FACTS; events: Events in their order."""

    facts: dict
    events: tuple

    def fact(self, name, part=None):
        """A fact, or a part of one; None if there is none."""
        value = self.facts.get(name)
        return value if part is None or value is None else value.get(part)

    @property
    def start_free(self):
        """Free bytes of the heap before the connection; None if nothing tells."""
        for free in (self.fact("heap_free"), self.fact("budget", "free")):
            if free is not None:
                return free
        return self.events[0].heap_free if self.events else None

    def used(self, event):
        """By how many bytes the heap in use has risen since the connection's start."""
        return self.start_free - event.heap_free

    def times(self):
        """Milliseconds of each event: those of one millisecond are spread over it, in their order."""
        found = []
        for at_ms, group in itertools.groupby(self.events, lambda event: event.at_ms):
            count = len(list(group))
            found += [at_ms + number / count for number in range(count)]
        return found

    @property
    def peak(self):
        """The most that was seen in use above the start: at an event, by the report, or from outside."""
        seen = [self.used(event) for event in self.events]
        lowest = self.fact("report", "heap_lowest")
        if lowest is not None and seen:
            seen.append(self.start_free - lowest)
        if self.fact("peak_bytes") is not None:
            seen.append(self.fact("peak_bytes"))
        return max(seen, default=None)

    @property
    def outcome(self):
        """How it ended: one line."""
        error = self.fact("error")
        if error:
            return f"failed: {names.escape(error['code'])}"
        report = self.fact("report") or {}
        text = "open, verified" if report.get("anchor_source") else "open"
        if report.get("handshake_ms") is not None:
            text += f" after a handshake of {report['handshake_ms']} ms"
        return text


def of_rows(rows, what):
    """A Trace of what memory_device tells. Raises CommandError."""
    facts, events, count = {}, [], None
    for row in rows:
        if row[0] == "fact" and len(row) == 3:
            facts[row[1]] = row[2]
        elif row[0] == "event" and len(row) == 2:
            events.append(row[1])
        elif row[0] == "events" and len(row) == 2:
            count = row[1]
    if count != len(events):
        raise CommandError(
            f"{what}: found {len(events)} events of {count}, expected all of them; remedy: trace it again"
        )
    return _checked(facts, events, what)


def load(path):
    """The Trace in a file. Raises CommandError."""
    shown = names.escape(str(path))
    with about(shown), open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise CommandError(f"{shown}: found more than {MAX_BYTES} bytes, expected a trace; {_REMEDY}")
    try:
        content = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise CommandError(
            f"{shown}: this is no JSON, or it is cut off ({names.escape(str(error))}); {_REMEDY}"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CommandError(f'{shown}: expected "format": "{FORMAT}"; {_REMEDY}')
    if type(content.get("version")) is not int or content["version"] != VERSION:
        raise CommandError(
            f"{shown}: found version {names.escape(repr(content.get('version')))}, expected {VERSION}; "
            f"{_REMEDY}"
        )
    return _checked(content.get("facts"), content.get("events"), shown)


_REMEDY = "remedy: make it again with securesocket memory --save FILE"


def save(trace, path):
    """Write a Trace to a file. Raises CommandError."""
    rows = [json.dumps(dataclasses.astuple(event)) for event in trace.events]
    head = {"format": FORMAT, "version": VERSION, "facts": trace.facts, "events": []}
    text = json.dumps(head, indent=1)
    if rows:
        text = text.replace('"events": []', '"events": [\n  ' + ",\n  ".join(rows) + "\n ]")
    with about(names.escape(str(path))):
        pathlib.Path(path).write_text(text + "\n")


def _checked(facts, events, what):
    if not isinstance(facts, dict):
        raise CommandError(f"{what}: expected facts, an object; {_REMEDY}")
    _check_facts(facts, FACTS, "", what)
    if not isinstance(events, list) or len(events) > MAX_EVENTS:
        raise CommandError(f"{what}: expected events, a list of at most {MAX_EVENTS}; {_REMEDY}")
    found = tuple(_event(event, number, what) for number, event in enumerate(events))
    for number, (one, other) in enumerate(itertools.pairwise(found), 1):
        if other.at_ms < one.at_ms:
            raise CommandError(
                f"{what}: event {number} is at {other.at_ms} ms, expected {one.at_ms} or later; {_REMEDY}"
            )
    if not found and "error" not in facts:
        raise CommandError(f"{what}: found no events, expected those of a handshake; {_REMEDY}")
    return Trace(facts, found)


def _check_facts(facts, table, above, what):
    for name, value in facts.items():
        rule = table.get(name)
        if rule is None:
            shown = names.escape(above + str(name))
            raise CommandError(f"{what}: found a fact {shown!r}, which no trace has; {_REMEDY}")
        if value is None:
            continue
        if isinstance(rule, dict):
            if not isinstance(value, dict):
                raise CommandError(f"{what}: fact {name}: expected an object; {_REMEDY}")
            _check_facts(value, rule, name + ".", what)
        elif not rule(value):
            raise CommandError(
                f"{what}: fact {above}{name}: found {names.escape(repr(value)[:60])}, expected "
                f"{_EXPECTED[rule]}; {_REMEDY}"
            )
    if above == "error." and not (facts.get("code") and facts.get("class")):
        raise CommandError(f"{what}: fact error: expected its class and code; {_REMEDY}")


_EXPECTED = {
    _is_number: "a number of 0 or more",
    _is_text: f"a text of at most {_MAX_TEXT} characters",
    _is_texts: "a list of texts",
    _is_flag: "true or false",
}


def _event(parts, number, what):
    good = (
        isinstance(parts, (list, tuple))
        and len(parts) == 5
        and all(map(_is_number, (parts[0], parts[3], parts[4])))
        and parts[1] in _WAYS
        and _is_text(parts[2])
        and parts[2]
    )
    if not good:
        raise CommandError(
            f"{what}: event {number}: found {names.escape(repr(parts)[:80])}, expected "
            f"[ms, way, name, bytes, free heap]; {_REMEDY}"
        )
    return Event(parts[0], parts[1], names.escape(parts[2]), parts[3], parts[4])
