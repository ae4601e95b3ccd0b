"""What a device's facts mean: each check one row or more, with what to type. Pure, but for nothing.

CHECKS is the one table: the command and docs/doctor.md have its rows in this order.
"""

import dataclasses
import re

from certstore import names
from certstore.dates import text as date_text

from .moments import DAY_S

OK, WARNING, PROBLEM = "ok", "warning", "problem"

OLDEST, NEWEST = (1, 25), (1, 29)
# Reads a handshake message that is split over records; before, such servers are refused.
_FRAGMENTS = (3, 6, 3)
# A clock that is further off than this from the host's makes certificates fail that are valid.
_CLOCK_OFF_S = DAY_S
_SOON_S = 90 * DAY_S
_OLD_STORE_S = 365 * DAY_S
_WEAK_DBM = -80
# About what a handshake takes, for a device that cannot tell it by itself.
_HANDSHAKE_BYTES = 30_000
_LISTED = 3


@dataclasses.dataclass(frozen=True)
class Row:
    """check: what was looked at; status: OK, WARNING or PROBLEM; found: in words; remedy: what to type, or
    None."""

    check: str
    status: str
    found: str
    remedy: str | None = None


class Facts:
    """What the device told: facts and faults by name; `install` and `port` are of its target, `now` is the
    host's clock, `ours` the version of the packages here."""

    def __init__(self, rows, install, port, now, ours):
        self.known = {row[1]: row[2] for row in rows if row[0] == "fact"}
        self.faults = {row[1]: row[2] for row in rows if row[0] == "fault"}
        self.install, self.port, self.now, self.ours = install, port, now, ours

    def get(self, name):
        return self.known.get(name)

    @property
    def loads(self):
        """Whether securesocket is there."""
        return self.get("where") is not None


_OURS = ("certstore", "securesocket")
# What an import raises where there is no such module.
_MISSING = ("ImportError", "MissingPackage")


def fault_text(fault):
    """A device's error in words, without its remedy."""
    text = f"{fault['class']}: {fault['sentence']}"
    for label, part in ((": found ", fault["found"]), (", expected ", fault["expected"])):
        if part is not None and part not in text:
            text += label + part
    return names.escape(text, limit=600)


def fault_row(check, facts, fault, otherwise=None):
    """A problem that the device has told; otherwise: the remedy where neither it nor its class tells one."""
    remedy = fault["remedy"] or otherwise
    if fault["class"] in _MISSING:
        remedy = facts.install
    if fault["class"] == "MemoryError":
        remedy = "free heap before connecting: fewer imports and buffers, gc.collect() first"
    return Row(check, PROBLEM, fault_text(fault), names.escape(remedy, limit=600) if remedy else None)


# For what no device should tell.
_REPORT = "reset the device, and try again; if it stays, report this row"


# ---- the firmware


def micropython(facts):
    version, machine, _ = facts.get("micropython")
    text = names.escape(f"{'.'.join(map(str, version))} on {machine}")
    if tuple(version[:2]) < OLDEST:
        return Row("MicroPython", PROBLEM, text + f", expected {_spelled(OLDEST)} or newer",
                   "flash a newer firmware: securesocket flash BOARD")  # fmt: skip
    if tuple(version[:2]) > NEWEST:
        return Row("MicroPython", WARNING, text + f", tested up to {_spelled(NEWEST)}")
    return Row("MicroPython", OK, text)


def _spelled(version):
    return ".".join(map(str, version))


def mbedtls(facts):
    if "mbedtls" in facts.faults:
        fault = facts.faults["mbedtls"]
        if fault["class"] == "ImportError":
            return Row("mbedTLS", PROBLEM, "this firmware has no module tls", _FIRMWARE)
        return fault_row("mbedTLS", facts, fault, _REPORT)
    text = facts.get("mbedtls")
    if text is None:
        return Row("mbedTLS", OK, "its version is not told by this firmware")
    digits = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    shown = names.escape(text)
    if digits and tuple(map(int, digits.groups())) < _FRAGMENTS:
        return Row(
            "mbedTLS", WARNING,
            f"{shown}: a server that splits a handshake message over records is refused (before 3.6.3)",
            "a firmware with mbedTLS 3.6.3 or newer: securesocket flash BOARD",
        )  # fmt: skip
    return Row("mbedTLS", OK, shown)


_FIRMWARE = "a firmware with TLS: securesocket flash BOARD"


# ---- ours


def securesocket(facts):
    if not facts.loads:
        fault = facts.faults["where"]
        if fault["class"] == "ImportError" and "securesocket" in (fault["sentence"] or ""):
            return Row("securesocket", PROBLEM, "not installed", facts.install)
        return fault_row("securesocket", facts, fault, facts.install)
    place, version = facts.get("where"), facts.get("version")
    place = place if place == "the firmware" else place.rpartition("/")[0]
    text = names.escape(f"{version} in {place}")
    if facts.ours and version != facts.ours:
        return Row("securesocket", WARNING, f"{text}; {facts.ours} here", facts.install)
    return Row("securesocket", OK, text)


def packages(facts):
    tried = {name[5:]: True for name in facts.known if name.startswith("part ")}
    lacking, broken = [], []
    for name, fault in facts.faults.items():
        if name.startswith("part "):
            # And not something that it imports itself.
            missing = fault["class"] in _MISSING and any(one in fault["sentence"] for one in _OURS)
            (lacking if missing else broken).append((name[5:], fault))
    for name, fault in broken:
        return fault_row("packages", facts, fault, facts.install)
    if not tried and not lacking:
        return None
    if lacking:
        text = f"without {', '.join(sorted(name for name, _ in lacking))}"
        return Row("packages", WARNING, f"{len(tried)}, {text}: what needs them says so", facts.install)
    return Row("packages", OK, f"all {len(tried)}")


def engine(facts):
    if "engine" in facts.faults:
        return fault_row("engine", facts, facts.faults["engine"], facts.install)
    name, features = facts.get("engine")
    return Row("engine", OK, names.escape(f"{name}; {', '.join(features) or 'none of the extra features'}"))


# ---- memory


def heap(facts):
    free, total = facts.get("heap")
    text = f"MicroPython: {free:,} of {total:,} bytes free"
    c_heap = facts.get("c_heap")
    if c_heap:
        text += f"; C: {c_heap[0]:,} free, largest block {c_heap[1]:,}, lowest ever {c_heap[2]:,}"
    budget = facts.get("budget")
    if budget:
        _, _, free, largest, _ = budget[1]
        if free < 0:
            return Row("heap", OK, f"{text}; mbedTLS uses the C heap, of which this firmware tells nothing")
        kind = "the C heap" if budget[0] == "C" else "MicroPython's"
        text += f"; mbedTLS uses {kind}: with our modules loaded {free:,} free, largest block {largest:,}"
        return Row("heap", OK, text)
    if free < _HANDSHAKE_BYTES and not c_heap:
        text += f", expected about {_HANDSHAKE_BYTES:,} for a handshake"
        return Row("heap", PROBLEM, text, _MORE_HEAP)
    return Row("heap", OK, text)


_MORE_HEAP = "free heap before connecting: fewer imports and buffers, gc.collect() first"


def handshakes(facts):
    if "budget" in facts.faults:
        fault = facts.faults["budget"]
        if fault["class"] in _MISSING:
            return Row("handshakes", WARNING, "not known without securesocket-budget", facts.install)
        broken = facts.faults.get("store") or facts.faults.get("whole")
        if broken and broken["class"] == fault["class"]:
            # The estimate asks the store for its keys; the store has a row of its own.
            return None
        return fault_row("handshakes", facts, fault, _REPORT)
    if not facts.get("budget"):
        return None
    needed, largest_needed, free, largest, fits = facts.get("budget")[1]
    text = f"one needs {needed:,} bytes, {largest_needed:,} of them in one piece"
    if not fits:
        short = f"; found {free:,} free, largest block {largest:,}"
        return Row("handshakes", PROBLEM, text + short, _MORE_HEAP)
    count = facts.get("fitting")
    if count == 1 or (count is None and free < 2 * needed):
        return Row("handshakes", OK, f"{text}: one at a time fits")
    return Row("handshakes", OK, text + (f": {count} fit at once" if count is not None else ""))


# ---- trust


def clock(facts):
    now = facts.get("clock")
    store = facts.get("store")
    shown = date_text(now) if now >= 0 else str(now)
    # The unauthenticated network is the better source for a device alone; this computer has the time already.
    remedy = "securesocket.set_clock()"
    if facts.port:
        remedy += f", or mpremote connect {names.escape(facts.port)} rtc --set"
    if store and now < store["build_time"]:
        floor = date_text(store["build_time"])
        return Row("clock", PROBLEM, f"not set: {shown}, before the store was built ({floor})", remedy)
    off = now - facts.now
    if abs(off) > _CLOCK_OFF_S:
        way = "ahead of" if off > 0 else "behind"
        return Row("clock", WARNING, f"{shown}, {abs(off) // DAY_S} days {way} this computer's", remedy)
    return Row("clock", OK, shown)


def store(facts):
    if not facts.loads:
        return None
    made = "securesocket store build"
    if facts.port:
        made += f" && securesocket deploy {names.escape(facts.port)} --store roots.bin"
    for name in ("store", "whole"):
        if name in facts.faults:
            fault = facts.faults[name]
            if fault["class"] not in _MISSING and fault["class"] != "MemoryError":
                fault = fault | {"remedy": made}
            return fault_row("store", facts, fault)
    found = facts.get("store")
    place = found["path"] or "the firmware"
    text = f"{found['count']} roots, {found['bytes']:,} bytes in {place}"
    if found["identities"]:
        text += f", identities: {found['identities']}"
    if found["changes"]:
        text += f", {found['changes'][1]} changes on top in {found['changes'][0]}"
    text = names.escape(f"{text}, built {date_text(found['build_time'])[:10]}", limit=400)
    if not found["count"]:
        return Row("store", PROBLEM, text + "; no server can be verified", made)
    if facts.now - found["build_time"] > _OLD_STORE_S:
        return Row("store", WARNING, text + ": more than a year ago", made)
    return Row("store", OK, text)


def roots(facts):
    if "roots" in facts.faults:
        return fault_row("roots", facts, facts.faults["roots"], _REPORT)
    if not facts.get("roots") or not facts.get("roots")[1]:
        return None
    first, ends = facts.get("roots")
    over = sum(1 for end in ends if end < facts.now)
    soon = sum(1 for end in ends if facts.now <= end < facts.now + _SOON_S)
    named = "; ".join(f"{title} until {date_text(end)[:10]}" for end, title in first[: max(1, over + soon)])
    named = names.escape(named, limit=400)
    remedy = "a newer store: securesocket store build"
    if over:
        text = f"{over} of {len(ends)} expired, and no server that needs them is verified: {named}"
        return Row("roots", PROBLEM if over == len(ends) else WARNING, text, remedy)
    if soon:
        return Row("roots", WARNING, f"{soon} of {len(ends)} end within 90 days: {named}", remedy)
    return Row("roots", OK, f"the first that ends: {named}")


def entropy(facts):
    if "entropy" in facts.faults:
        return fault_row("random source", facts, facts.faults["entropy"])
    if facts.get("entropy") is None:
        return None
    if facts.get("entropy") == "accepted":
        return Row("random source", WARNING, "not tried: accept_weak_entropy() was called",
                   "leave that call to tests")  # fmt: skip
    return Row("random source", OK, "two draws differ")


# ---- the network


def network(facts):
    if "network" in facts.faults:
        return fault_row("network", facts, facts.faults["network"], _REPORT)
    found = facts.get("network")
    if found is None:
        return Row("network", OK, "this computer's")
    if not found:
        text = "no interface was found; Ethernet and PPP that a program keeps for itself are not seen"
        return Row("network", WARNING, text)
    rows = []
    for kind, active, connected, address, rssi in found:
        name = {"WLAN": "Wi-Fi"}.get(kind, kind)
        if not connected:
            state = "off" if active is False else "not connected"
            remedy = 'w = network.WLAN(network.STA_IF); w.active(True); w.connect("NAME", "PASSWORD")'
            rows.append(Row(name, WARNING, state, remedy if kind == "WLAN" else None))
            continue
        text = f"connected, {address}"
        if isinstance(rssi, int):
            text += f", {rssi} dBm"
            if rssi < _WEAK_DBM:
                rows.append(Row(name, WARNING, names.escape(text) + ": weak", "move it nearer"))
                continue
        rows.append(Row(name, OK, names.escape(text)))
    return rows


# ---- one connection


def dns(facts):
    if "dns" in facts.faults:
        return Row("DNS", PROBLEM, fault_text(facts.faults["dns"]),
                   "check the name, and the device's network and its DNS server")  # fmt: skip
    if facts.get("dns") is None:
        return None
    took, count = facts.get("dns")
    return Row("DNS", OK, f"{took} ms, {count} address{'es' * (count != 1)}")


def tcp(facts):
    if "tcp" in facts.faults:
        remedy = "check the port, that the server runs, and what stands between: a firewall, a proxy"
        return Row("TCP", PROBLEM, fault_text(facts.faults["tcp"]), remedy)
    return None if facts.get("tcp") is None else Row("TCP", OK, f"{facts.get('tcp')} ms")


def handshake(facts):
    if "handshake" in facts.faults:
        return fault_row("handshake", facts, facts.faults["handshake"], _REPORT)
    if facts.get("handshake") is None:
        return None
    took, report = facts.get("handshake")
    text = f"{took} ms"
    if report["cipher"]:
        text += f", {report['cipher']}, {report['version']}"
    rows = [Row("handshake", OK, names.escape(text, limit=300))]
    if report["chain"]:
        rows.append(Row("chain", OK, names.escape(" ← ".join(report["chain"]), limit=400)))
    if report["anchor"]:
        text = f"{report['anchor']}, from the {report['anchor_source']}"
        rows.append(Row("anchor", OK, names.escape(text, limit=300)))
    if report["heap_before"] and report["heap_lowest"]:
        text = f"{report['heap_before']:,} bytes free before, {report['heap_lowest']:,} at the lowest"
        rows.append(Row("heap then", OK, text))
    return rows


# (check, what it looks at and what its rows can be, in words).
CHECKS = (
    (micropython, "micropython"),
    (mbedtls, None),
    (securesocket, None),
    (packages, None),
    (engine, "where"),
    (heap, "heap"),
    (handshakes, None),
    (clock, "clock"),
    (store, None),
    (roots, None),
    (entropy, None),
    (network, None),
    (dns, None),
    (tcp, None),
    (handshake, None),
)


def rows(facts):
    """The Rows of all checks."""
    found = []
    for check, needs in CHECKS:
        if needs is not None and facts.get(needs) is None:
            # `where` has its own row.
            if needs in facts.faults and needs != "where":
                found.append(fault_row(check.__name__, facts, facts.faults[needs], _REPORT))
            continue
        made = check(facts)
        found += made if isinstance(made, list) else [] if made is None else [made]
    return found
