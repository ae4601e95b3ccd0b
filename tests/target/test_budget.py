"""budget=: no before anything is opened, what it knows of hosts, and every size of heap."""

import os
import queue
import socket
import time

import pytest

from plugins.peers import PythonServer, RawServer
from plugins.pki import make

BUDGET = ["MemoryBudgetError", "memory-budget"]
# Free heap at which nothing works, and one with room for all.
LITTLE, MUCH = 14_000, 90_000

# In front of what follows driver.py: takes all of the heap but so many bytes.
FILL = """
import certstore.mozilla, securesocket.verdict, securesocket.wording, securesocket.sentences
import securesocket.budget as budget
from certstore.store import CertStore
from securesocket.errors import SecureSocketError

ballast = [None] * 400


def leave(free):
    gc.collect()
    used = 0
    for size in (4096, 480):
        for _ in range((gc.mem_free() - free - 128) // (size + 32)):
            ballast[used] = bytearray(size)
            used += 1
    rest = gc.mem_free() - free
    if rest > 32:
        ballast[used] = bytearray(rest - 16)
    gc.collect()


def give_back():
    for index in range(len(ballast)):
        ballast[index] = None
    gc.collect()
"""


@pytest.fixture
def store(tmp_path, pki):
    from certstore import anchors

    return anchors.build([pki.root.der, pki.rsa_root.der], 86400)


def accepted(server):
    """How many connections a Listener has had: they are accepted in their order, so ours is the last."""
    before = server.count
    with socket.create_connection(("127.0.0.1", server.port)):
        for _ in range(500):
            if server.count > before:
                break
            time.sleep(0.01)
    return server.count - 1


# ---- when it is asked

ONE = """
gc.collect()
files = open_files()
leave(FREE)
result = attempt(how=HOW, port=PORT, secure=SECURE)
give_back()
result["files"] = open_files() - files
tell(result)
"""


@pytest.mark.parametrize("how", ["socket", "open"])
def test_no_comes_before_a_socket_is_opened(drive, pki, servers, store, how):
    server = servers.start(PythonServer, pki.ec)
    params = {"HOW": how, "PORT": server.port, "FREE": LITTLE, "SECURE": {"store": store}}
    got = drive(FILL + ONE, build="stock32", heapsize="300k", params=params)
    assert [got["error"]["class"], got["error"]["code"], got["error"]["errno"]] == [*BUDGET, 12]
    assert (accepted(server), got["files"]) == (0, 0)
    # The same script with room for it does connect.
    got = drive(FILL + ONE, build="stock32", heapsize="300k", params=params | {"FREE": MUCH})
    assert got["reply"] == "ping\n" and accepted(server) == 2


@pytest.mark.parametrize("how", ["context", "later", "asyncio"])
def test_no_comes_in_wrap_socket_and_closes_the_socket(drive, pki, servers, store, how):
    seen = queue.Queue()

    def answer(connection):
        seen.put(b"".join(iter(lambda: connection.recv(4096), b"")))

    server = servers.start(RawServer, answer)
    params = {"HOW": how, "PORT": server.port, "FREE": LITTLE, "SECURE": {"store": store}}
    got = drive(FILL + ONE, build="stock32", heapsize="300k", params=params)
    assert [got["error"]["class"], got["error"]["code"]] == BUDGET
    assert got["files"] == 0
    assert accepted(server) == 1
    assert seen.get(timeout=10) == b""


PLAIN = """
import json
from securesocket import SecureSocket

stream = SecureSocket("localhost", PORT, SECURE)
stream.write(b"ping\\n")
print("RESULT", json.dumps([stream.readline().decode(), stream.authorized]))
"""


@pytest.mark.parametrize("how", ["", "warn", "raise"])
def test_warn_prints_one_line_and_goes_on(target, build, pki, servers, how):
    """A reserve that no heap has: only the option decides."""
    secure = {"trust": pki.root.der, "reserve": 100_000_000} | ({"budget": how} if how else {})
    params = {"PORT": servers.python(pki.ec), "SECURE": secure}
    done = target.run(PLAIN, build=build, heapsize="1M", params=params)
    if how == "warn":
        assert done.returncode == 0 and done.result == ["ping\n", True], done
        first, _ = done.stdout.splitlines()
        assert first.startswith(
            "securesocket: the heap will not carry this handshake: found does not fit: "
        ), done
        assert "100000000 in reserve" in first and "remedy: " in first
    else:
        assert done.returncode == 1 and "MemoryBudgetError" in done.stderr, done


NEVER = """
import securesocket.budget as budget

asked = []
for name in ("check", "learn", "estimate"):
    setattr(budget, name, lambda *words, name=name: asked.append(name))
result = attempt(port=PORT, secure=SECURE)
tell([result["reply"], asked])
"""


def test_none_never_asks(drive, build, pki, servers):
    secure = {"trust": pki.root.der, "budget": None}
    params = {"PORT": servers.python(pki.ec), "SECURE": secure}
    assert drive(NEVER, build=build, params=params) == ["ping\n", []]
    del secure["budget"]
    assert drive(NEVER, build=build, params=params) == ["ping\n", ["check", "learn"]]


def test_none_fails_where_the_heap_ends(drive, pki, servers, store):
    server = servers.start(PythonServer, pki.ec)
    secure = {"store": store, "budget": None}
    params = {"HOW": "socket", "PORT": server.port, "FREE": LITTLE, "SECURE": secure}
    got = drive(FILL + ONE, build="stock32", heapsize="300k", params=params)
    assert [got["error"]["class"], got["error"]["code"]] == ["MemoryBudgetError", "memory"]
    assert accepted(server) == 1


# ---- what it knows

KNOWN = """
from certstore.store import CertStore

context = SecureContext(trust=CertStore(STORE))


def told():
    one = budget.estimate(HOST, context)
    return [one.key, one.known, one.needed, one.largest_needed, one.fits]


def connect(free):
    leave(free)
    try:
        SecureSocket("localhost", PORT, context).close()
        return None
    except SecureSocketError as error:
        return [type(error).__name__, error.code]
    finally:
        give_back()


HOST = "localhost"
before = told()
small = connect(before[2] - 1500)
connect(200_000)
after = told()
again = connect(before[2] - 1500)
HOST = "example.com"
tell([before, small, after, again, told()])
"""


def test_known_host_is_reckoned_with_what_it_showed(drive, pki, servers):
    """Of many anchors any may answer, one with RSA 4096; a host that showed EC needs less."""
    from certstore import anchors

    roots = [pki.root.der, *(make(f"Another {number}", ca=True).der for number in range(9))]
    params = {"STORE": anchors.build(roots, 86400), "PORT": servers.python(pki.ec)}
    got = drive(FILL + KNOWN, build="stock32", heapsize="400k", params=params)
    before, small, after, again, other = got
    assert before[:2] == ["RSA 4096", False] and before[4] is True
    assert small == BUDGET
    assert after[:2] == ["EC P-256", True] and after[2] < before[2] - 4000
    assert again is None
    assert other == before
    assert before[3] == after[3] >= 16_384


LEAVES = """
context = SecureContext(trust=CertStore(STORE))


def refused():
    try:
        SecureSocket("localhost", PORT, context)
    except SecureSocketError as error:
        return error.code


leave(FREE)
codes = [refused(), None]
gc.collect()
before = gc.mem_alloc()
codes[1] = refused()
gc.collect()
after = gc.mem_alloc()
give_back()
tell([codes, after - before])
"""


@pytest.mark.parametrize("free", [8_000, 14_000, 20_000, 26_000])
def test_refusal_leaves_nothing_in_the_heap(drive, store, free):
    params = {"STORE": store, "PORT": 1, "FREE": free}
    codes, left = drive(FILL + LEAVES, build="stock32", heapsize="300k", params=params)
    assert left == 0
    # In the smallest there may be no room for the words.
    assert set(codes) <= ({"memory-budget", "memory"} if free < 10_000 else {"memory-budget"})


# ---- the verdict under pressure

PRESSURE = """
asked = []


def decide(certificate, failures):
    asked.append([type(one).__name__ for one in failures])
    return True


context = SecureContext(trust=CertStore(STORE), budget=None, on_bad_certificate=decide)
row = None


def connect():
    "Into a row that is there already: what is made while the heap is full would stay in the midst of it."
    try:
        stream = SecureSocket("localhost", PORT, context)
        row[1] = stream.authorized
        stream.close()
    except SecureSocketError as error:
        row[1], row[2] = type(error).__name__, error.code
    except Exception as error:
        row[1] = type(error).__name__


rows = [[0, None, None] for _ in range(len(SIZES) + 2)]
sizes = [200_000, 10_000] + SIZES
for number in range(len(sizes)):
    row = rows[number]
    row[0] = sizes[number]
    leave(row[0])
    connect()
    give_back()
tell([rows, asked])
"""
# what, chain and root
PATHS = {
    "EC": lambda p: (p.ec, p.root),
    "RSA 2048": lambda p: (p.rsa, p.rsa_root),
    "RSA 4096": lambda p: rsa4096(),
}
_RSA_4096 = []


def rsa4096():
    if not _RSA_4096:
        root = make("Test Root RSA 4096", ca=True, key="rsa4096")
        middle = make("Test Intermediate RSA 4096", root, ca=True, key="rsa2048")
        _RSA_4096.append(([make("localhost", middle, key="rsa2048"), middle], root))
    return _RSA_4096[0]


@pytest.mark.parametrize("what", PATHS)
def test_too_little_heap_to_verify_is_never_a_verdict_on_the_certificate(drive, pki, servers, what):
    """Without the budget's no, so that it fails within: a lack of memory is what it is called, nobody is asked
    whether to trust all the same, and there is no second connection."""
    from certstore import anchors

    chain, root = PATHS[what](pki)
    server = servers.start(PythonServer, chain)
    sizes = list(range(22_000, 46_000, 128))
    params = {"STORE": anchors.build([root.der], 86400), "PORT": server.port, "SIZES": sizes}
    rows, asked = drive(FILL + PRESSURE, build="stock32", heapsize="300k", params=params)
    wrong = [row for row in rows if row[1] is not True and row[1] != "MemoryBudgetError"]
    assert wrong == []
    assert asked == []
    assert accepted(server) == len(rows)
    codes = {row[2] for row in rows}
    # It did run short of it at each stage, and did pass.
    assert codes == {None, "memory", "memory-verify"}
    assert rows[2][2] == "memory" and rows[-1][1] is True


# ---- every size

SWEEP = """
context = SecureContext(trust=CertStore(STORE))
sessions = [None] * 8
found = []
buf = bytearray(5)


def opened(count):
    "How many of so many sessions opened, and why not more."
    for index in range(count):
        try:
            sessions[index] = SecureSocket("localhost", PORT, context)
        except SecureSocketError as error:
            return index, type(error).__name__, error.code
        except Exception as error:
            return index, type(error).__name__, None
    return count, None, None


def echoed(count):
    "How many of the open ones still work."
    works = 0
    for index in range(count):
        stream = sessions[index]
        if stream.authorized and stream.write(b"ping\\n") == 5 and stream.readinto(buf) == 5 and buf == b"ping\\n":
            works += 1
    return works


def close(count):
    for index in range(count):
        sessions[index].close()
        sessions[index] = None


def round(free, count):
    global works
    if free:
        leave(free)
    got = opened(count)
    works = echoed(got[0])
    close(got[0])
    give_back()
    return got


def measure(row, free, known):
    if not known:
        for at in range(len(budget._known_hosts)):
            budget._known_hosts[at] = None
    count, kind, code = round(free, COUNT)
    row[0], row[1], row[2], row[3], row[4], row[5] = free, known, count, works, kind, code


# What the first of each kind loads is loaded; what is noted later has its place.
works = base = 0
rows = [[0] * 7 for _ in range(2 * len(SIZES) + 3)]
for row, free in zip(rows, (0, LITTLE, 0)):
    measure(row, free, True)
gc.collect()
base = gc.mem_alloc()
for number, free in enumerate(SIZES):
    for known in (True, False):
        row = rows[2 * number + 3 - known]
        measure(row, free, known)
        gc.collect()
        row[6] = gc.mem_alloc() - base
        if number == 0 and known:
            base += row[6]
            row[6] = 0
tell(rows[2:-1])
"""
# What each session more needs of free heap: it opens in what the one before has left in fragments.
SESSION = 30 * 1024
ALL_SIZES = range(16_384, 48 * 1024 + 1, 1024)
# {sessions at once: of which sizes}: a sample of them, all with `make campaign NAME=budget`.
SAMPLE = {1: ALL_SIZES, 2: ALL_SIZES[::3], 4: ALL_SIZES[::4], 8: ALL_SIZES[::8]}
if os.environ.get("SIZES") == "all":
    SAMPLE = dict.fromkeys(SAMPLE, ALL_SIZES)


def sweep(drive, port, store, count, sizes):
    """[free heap, whether the host is known, sessions opened, that echo, error, code, bytes lost]"""
    params = {
        "STORE": store,
        "PORT": port,
        "COUNT": count,
        "LITTLE": LITTLE,
        "SIZES": [size + (count - 1) * SESSION for size in sizes],
    }
    return drive(FILL + SWEEP, build="stock32", heapsize="600k", params=params, timeout_s=300)


@pytest.mark.parametrize("count", SAMPLE)
@pytest.mark.parametrize("what", ["EC", "RSA 2048"])
def test_every_size_of_heap_is_enough_or_said_to_be_too_small(drive, pki, servers, what, count):
    from certstore import anchors

    chain, root = PATHS[what](pki)
    port = servers.start(PythonServer, chain).port
    rows = sweep(drive, port, anchors.build([root.der], 86400), count, SAMPLE[count])
    for row in rows:
        _, _, opened, works, *error, lost = row
        assert works == opened and lost == 0, row
        assert error == [None, None] if opened == count else error[0] == "MemoryBudgetError", row
    # The smallest is too small for the last of them, the largest is not.
    assert all(row[2] < count for row in rows[:2]), rows[:2]
    # Of eight the last may find the heap in fragments.
    assert all(row[2] >= count - count // 8 for row in rows[-2:]), rows[-2:]
    # Those that the budget lets through are those that work, but for a few.
    within = [row for row in rows if row[5] not in (None, "memory-budget")]
    assert len(within) <= len(rows) // 10, within
