"""SecurePair: our client and our server joined in memory, the bytes between them cut and changed at will."""

import os

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from plugins.pki import make

JOIN = """
from certstore.errors import SecureSocketError
from securesocket import SecurePair
from securesocket.pair import MAX_BUFFERED
from securesocket.server_context import ServerContext


def carry(one, other, size, change=None):
    # Moves at most `size` bytes of ciphertext (all for 0) from one pair to the other; how many.
    data = one.encrypted.read(size or -1)
    if not data:
        return 0
    if change:
        data = change(data)
    at = 0
    while at < len(data):
        count = other.encrypted.write(data[at:])
        if count is None:
            other.cleartext.readinto(bytearray(0))
        else:
            at += count
    return len(data)


class Joined:
    # A client's and a server's pair; `up` and `down`: bytes carried at a time to the server, to the client.

    def __init__(self, up=0, down=0, name="localhost", change_up=None, change_down=None):
        self.up, self.down = up, down
        self.change_up, self.change_down = change_up, change_down
        self.server = SecurePair(SERVER, True)
        self.client = SecurePair(CLIENT, server_hostname=name)
        self.errors = [None, None]
        self.got = [b"", b""]
        self.wrote = [False, False]
        self.ended = [False, False]
        self.carried = [0, 0]

    def touch(self, side):
        # Writes a line as soon as it can, and reads what there is.
        if self.errors[side]:
            return
        stream = (self.client, self.server)[side].cleartext
        try:
            if not self.wrote[side]:
                self.wrote[side] = bool(stream.write(LINES[side]))
            piece = stream.read(100)
            self.got[side] += piece or b""
            self.ended[side] = piece == b""
        except OSError as error:
            self.errors[side] = error

    def run(self):
        # Until both have the other's line, or an error, or nothing moves any more.
        idle = 0
        while idle < 3:
            self.touch(0)
            self.touch(1)
            moved = [0, 0]
            try:
                moved[0] = carry(self.client, self.server, self.up, self.change_up)
                moved[1] = carry(self.server, self.client, self.down, self.change_down)
            except SecureSocketError as error:
                # One end has closed: so the other reads the end.
                if self.errors[0]:
                    self.server.encrypted.close()
                if self.errors[1]:
                    self.client.encrypted.close()
            self.carried[0] += moved[0]
            self.carried[1] += moved[1]
            if self.got[0] == LINES[1] and self.got[1] == LINES[0]:
                break
            idle = 0 if moved[0] + moved[1] else idle + 1
        return self

    def stop(self):
        # No more bytes come: what is open ends.
        self.client.encrypted.close()
        self.server.encrypted.close()
        self.touch(0)
        self.touch(1)

    def close(self):
        self.client.close()
        self.server.close()

    @property
    def told(self):
        return [error and getattr(error, "code", repr(error)) for error in self.errors]


LINES = (b"from the client\\n", b"from the server\\n")


SERVER = ServerContext(**SERVER_OPTIONS)
for name, identity in NAMES:
    SERVER.add_context(name, identity)
CLIENT = SecureContext(**CLIENT_OPTIONS)
"""

LINES = ["from the client\n", "from the server\n"]


def identity(chain):
    return [member.der for member in chain], chain[0].private(encoding="der")


def joined(drive, lines, build, server, client, names=(), **more):
    """Runs `lines` with SERVER and CLIENT made of these options."""
    params = {"SERVER_OPTIONS": server, "CLIENT_OPTIONS": client, "NAMES": list(names), **more}
    return drive(JOIN + lines, build=build, params=params)


def plain(pki, chain="ec"):
    """(options of a server, options of its client) that go together."""
    server = {"identity": identity(getattr(pki, chain))}
    return server, {"trust": [pki.root.der, pki.rsa_root.der]}


def mutual(pki, chain="ec", device="device"):
    server, client = plain(pki, chain)
    server |= {"request_client_certificate": "required", "trust": pki.device_root.der}
    return server, client | {"identity": identity(getattr(pki, device))}


SPLITS = """
told = []
for up, down in SIZES:
    both = Joined(up, down).run()
    c, s = both.client, both.server
    told.append([both.got, both.told, c.authorized, s.authorized, c.cleartext.version(),
        c.cleartext.cipher() == s.cleartext.cipher(), s.cleartext.server_name,
        s.cleartext.peer_certificate and bytes(s.cleartext.peer_certificate.der) == DEVICE])
    both.close()
tell([[[one.decode() for one in row[0]]] + row[1:] for row in told])
"""
SIZES = [(one, one) for one in (1, 2, 3, 5, 7, 0)] + [(1, 0), (0, 1), (3, 7), (5, 2), (1000, 64)]


@pytest.mark.parametrize("chain", ["ec", "rsa"])
@pytest.mark.parametrize("how", ["server only", "device", "rsa_device"])
def test_pieces_of_any_size_in_each_direction(drive, build, pki, chain, how):
    server, client = plain(pki, chain) if how == "server only" else mutual(pki, chain, how)
    device = None if how == "server only" else getattr(pki, how)[0].der
    rows = joined(drive, SPLITS, build, server, client, SIZES=SIZES, DEVICE=device)
    expected = [
        LINES[::-1],
        [None, None],
        True,
        device is not None,
        "TLSv1.2",
        True,
        "localhost",
        device and True,
    ]
    for sizes, row in zip(SIZES, rows, strict=True):
        assert row == expected, sizes


CUTS = """
class Cut(Joined):
    def run(self, way, at):
        # The bytes of one direction up to `at`, then three turns of both, then the rest.
        pairs = (self.client, self.server)
        left, pause = at, 3
        for _ in range(60):
            self.touch(0)
            self.touch(1)
            for side in (0, 1):
                if side != way:
                    carry(pairs[side], pairs[1 - side], 0)
                elif left:
                    left -= carry(pairs[side], pairs[1 - side], left)
                elif pause:
                    pause -= 1
                else:
                    carry(pairs[side], pairs[1 - side], 0)
            if self.got[0] == LINES[1] and self.got[1] == LINES[0]:
                break
        return self

whole = Joined().run()
lengths = whole.carried
whole.close()
bad = []
for way in (0, 1):
    for at in range(1, lengths[way], STRIDE):
        both = Cut().run(way, at)
        if both.got != [LINES[1], LINES[0]] or both.told != [None, None]:
            bad.append([way, at, both.told])
        both.close()
tell([lengths, bad])
"""
# Every byte: EVERY=1 (some minutes); `make test` takes a sample, other bytes in each build.
EVERY = os.environ.get("EVERY") == "1"
STRIDE = {"stock": 23, "stock32": 41, "stock-1.25": 61}


@pytest.mark.parametrize("kind", ["ec", "mutual"])
def test_cut_at_any_byte_of_either_direction(drive, build, pki, kind):
    server, client = mutual(pki) if kind == "mutual" else plain(pki)
    lengths, bad = joined(drive, CUTS, build, server, client, STRIDE=1 if EVERY else STRIDE[build])
    assert bad == []
    assert lengths[0] > 250 and lengths[1] > 1000


DAMAGE = """
class Flip:
    # Changes one bit of the byte at `at`.
    done = False

    def __init__(self, at):
        self.at = at
        self.seen = bytearray()

    def __call__(self, data):
        start = len(self.seen)
        self.seen.extend(data)
        if start <= self.at < len(self.seen):
            self.done = True
            data = bytearray(data)
            data[self.at - start] ^= 1 << self.at % 8
        return data

    @property
    def place(self):
        # Offset of the byte in its record.
        start = 0
        while True:
            stop = start + 5 + (self.seen[start + 3] << 8 | self.seen[start + 4])
            if stop > self.at:
                return self.at - start
            start = stop

whole = Joined().run()
lengths = whole.carried
whole.close()
told = {}
passed = []
gc.collect()
for way in (0, 1):
    for at in range(0, lengths[way], STRIDE):
        change = Flip(at)
        both = Joined(change_up=change) if way == 0 else Joined(change_down=change)
        both.run()
        both.stop()
        whole = both.got == [LINES[1], LINES[0]]
        if not change.done:
            # ECDSA's signatures differ in length: this time there were fewer bytes.
            assert whole
        elif whole:
            passed.append(change.place)
        else:
            # What one side got is never anything but what the other has written, and one of them knows.
            for side in (0, 1):
                assert both.got[side] == LINES[1 - side][: len(both.got[side])], (way, at)
            failures = [error for error in both.errors if error is not None]
            # A record that is longer than what comes: the end, before the line was whole.
            assert failures or both.ended[1 - way], (way, at)
            for error in failures:
                if isinstance(error, SecureSocketError):
                    told[error.code] = told.get(error.code, 0) + 1
                else:
                    told["OSError"] = told.get("OSError", 0) + 1
        both.close()
tell([lengths, passed, told])
"""


@pytest.mark.parametrize("chain", ["ec", "rsa"])
@pytest.mark.parametrize("kind", ["plain", "mutual"])
def test_any_byte_changed_fails_typed_and_hands_out_nothing_else(drive, build, pki, chain, kind):
    """One bit of each byte of both directions. Only the low byte of the version in the header of a record that is
    not encrypted may pass: mbedTLS takes older ones."""
    server, client = mutual(pki, chain) if kind == "mutual" else plain(pki, chain)
    stride = 1 if EVERY else STRIDE[build] * (3 if chain == "rsa" else 1)
    lengths, passed, told = joined(drive, DAMAGE, build, server, client, STRIDE=stride)
    assert set(passed) <= {2} and len(passed) < 8
    assert sum(told.values()) > sum(lengths) // stride // 2 and told.keys() >= {"protocol"}


SNI = """
told = []
for name in ASKED:
    both = Joined(name=name).run()
    leaf = both.client.cleartext.peer_certificate
    told.append([leaf and leaf.names, both.server.cleartext.server_name, both.told])
    both.close()
tell(told)
"""


def test_contexts_by_name(drive, build, pki):
    def named(*hosts):
        return identity(pki.chain(hosts[0], hosts=hosts))

    names = [("a.example", named("a.example")), ("*.b.example", named("*.b.example"))]
    server, client = plain(pki)
    asked = ["a.example", "A.Example", "x.b.example", "localhost"]
    rows = joined(
        drive, SNI, build, server, client, names, ASKED=[*asked, "x.y.b.example", "c.example", "127.0.0.1"]
    )
    assert rows[:4] == [
        [["a.example"], "a.example", [None, None]],
        [["a.example"], "a.example", [None, None]],
        [["*.b.example"], "x.b.example", [None, None]],
        [["localhost", "127.0.0.1"], "localhost", [None, None]],
    ]
    # A name that nobody has gets the first identity, which the client refuses. An address is no name.
    assert [row[1] for row in rows[4:]] == ["x.y.b.example", "c.example", None]
    assert [row[2][0] for row in rows[4:]] == ["hostname", "hostname", None]


WRONG = """
both = Joined().run()
told = [both.told, both.server.authorized, [one.decode() for one in both.got]]
server = both.errors[1]
told.append([type(server).__name__, server.remedy])
both.close()
tell(told)
"""


def test_client_without_the_certificate_that_is_asked_for(drive, build, pki):
    server, client = mutual(pki)
    for made, code in (
        ({}, "client-certificate"),
        ({"identity": identity(pki.foreign)}, "unknown-issuer"),
        (
            {
                "identity": identity(
                    [make("device-19", pki.device_root, hosts=(), usages=(ExtendedKeyUsageOID.SERVER_AUTH,))]
                )
            },
            "client-usage",
        ),
    ):
        client.pop("identity", None)
        codes, authorized, got, told = joined(drive, WRONG, build, server, client | made)
        assert codes[1] == code and codes[0] in ("alert", "peer-closed"), codes
        assert authorized is False and got == ["", ""]
        assert told[0] in ("CertificateError", "UnknownIssuer")


LEVEL = """
def one(number):
    both = Joined(0, 0).run()
    assert both.got == [LINES[1], LINES[0]]
    if number % 3 == 0:
        both.close()
    elif number % 3 == 1:
        both.server.close()
        both.client.encrypted.close()
        both.client.cleartext.close()
    else:
        both.client.cleartext.close()
        both.server.encrypted.close()
        both.server.cleartext.close()

def level():
    gc.collect()
    gc.collect()
    return gc.mem_alloc()

for number in range(6):
    one(number)
before = level()
for number in range(200):
    one(number)
tell(level() - before)
"""


def test_memory_comes_back_after_200_pairs(drive, build, pki):
    assert joined(drive, LEVEL, build, *plain(pki)) <= 0


BULK = """
import hashlib
SIZE = 100_000
data = bytes((i * 7 + i // 251) & 255 for i in range(1000)) * (SIZE // 1000)
both = Joined().run()
view = memoryview(data)
told = []
largest = 0
for a, b in ((both.client, both.server), (both.server, both.client)):
    sent = 0
    full = False
    digest = hashlib.sha256()
    have = 0
    buf = bytearray(3000)
    while have < SIZE:
        while sent < SIZE:
            # mbedTLS may have sealed what it could not send: it wants the rest of the same piece next.
            count = a.cleartext.write(view[sent : (sent // 5000 + 1) * 5000])
            if count is None:
                full = True
                break
            sent += count
        piece = a.encrypted.read(UP)
        largest = max(largest, len(piece))
        b.encrypted.write(piece)
        while True:
            got = b.cleartext.readinto(buf)
            if not got:
                break
            digest.update(memoryview(buf)[:got])
            have += got
    told.append([sent, have, full, digest.digest() == hashlib.sha256(data).digest()])
both.close()
tell([told, largest, MAX_BUFFERED])
"""


@pytest.mark.parametrize("size", [1499, 5000, -1])
def test_100_kilobytes_each_way_through_bounded_streams(drive, build, pki, size):
    told, largest, limit = joined(drive, BULK, build, *plain(pki), UP=size)
    assert told == [[100_000, 100_000, True, True]] * 2
    assert largest <= limit


FULL = """
both = Joined().run()
a, b = both.client, both.server
sent = 0
while True:
    count = a.cleartext.write(b"x" * 1000)
    if count is None:
        break
    sent += count
# The peer's bytes, while it does not read: garbage is as good.
taken = 0
while True:
    count = b.encrypted.write(bytes(1000))
    if count is None:
        break
    taken += count
waiting = a.encrypted.read()
tell([sent, taken, len(waiting), MAX_BUFFERED, a.cleartext.ioctl(3, 4)])
"""


def test_both_directions_are_bounded(drive, build, pki):
    sent, taken, waiting, limit, poll = joined(drive, FULL, build, *plain(pki))
    assert taken == waiting == limit
    assert limit - 4096 < sent < limit
    assert poll & 4


ENDS = """
def last(function):
    try:
        value = function()
        return value if value is None or type(value) is int else value.decode()
    except OSError as error:
        return getattr(error, "code", "OSError")

told = {}
both = Joined().run()
a, b = both.client, both.server
a.cleartext.write(b"bye")
a.cleartext.close()
while carry(a, b, 0):
    pass
told["end of ciphertext"] = last(a.encrypted.read)
told["write to a closed one"] = last(lambda: a.encrypted.write(b"x"))
b.encrypted.close()
told["what came before"] = last(lambda: b.cleartext.read(3))
told["then the end"] = last(lambda: b.cleartext.read(3))
told["write behind the end"] = last(lambda: b.cleartext.write(b"x"))
told["poll"] = b.cleartext.ioctl(3, 1) != 0
told["closed encrypted"] = [last(b.encrypted.read), last(lambda: b.encrypted.write(b"x"))]
a.close()
b.close()
told["closed cleartext"] = [last(lambda: a.cleartext.read(1)), last(lambda: b.cleartext.read(1))]

both = Joined()
for _ in range(2):
    both.touch(0)
    carry(both.client, both.server, 0)
    both.touch(1)
    carry(both.server, both.client, 100)
both.stop()
told["cut in the handshake"] = both.told
both.close()
tell(told)
"""


def test_closing_one_end_is_seen_at_the_other(drive, build, pki):
    told = joined(drive, ENDS, build, *plain(pki))
    assert told == {
        "end of ciphertext": "",
        "write to a closed one": "closed",
        "what came before": "bye",
        "then the end": "",
        "write behind the end": "OSError",
        "poll": True,
        "closed encrypted": ["closed", "closed"],
        "closed cleartext": ["closed", "closed"],
        "cut in the handshake": ["peer-closed", "peer-closed"],
    }


TRUNCATED = """
def ended(forge, side=0):
    # An open connection whose bytes end as `forge(record)` says, pieces of a last record; what its reader is told.
    both = Joined().run()
    a, b = (both.client, both.server) if side == 0 else (both.server, both.client)
    told = []
    while True:
        a.cleartext.write(b"last words")
        record = a.encrypted.read()
        pieces = forge(record)
        if pieces is not None:
            break
        b.encrypted.write(record)
        b.cleartext.read(10)
    for piece in pieces:
        b.encrypted.write(piece)
        try:
            told.append((b.cleartext.read(10) or b"").decode())
        except OSError:
            told.append("error")
    b.encrypted.end()
    try:
        b.cleartext.read(10)
    except OSError:
        told.append("error")
    told.append(b.cleartext.truncated)
    both.close()
    return told

ALERT = bytes((21, 3, 3, 0, 26))
tell([[
    ended(lambda record: [record], side),
    ended(lambda record: [record[:-1]], side),
    ended(lambda record: [record, b"\\x15"], side),
    ended(lambda record: [record, ALERT], side),
    ended(lambda record: [record, ALERT, bytes(25)], side),
    ended(lambda record: [record, ALERT + bytes(26)], side),
    # What mbedTLS asks for last is as long as a header, and begins as one of an alert.
    ended(lambda record: [record[:-5], record[-5:]] if record[-5] == 21 else None, side),
] for side in (0, 1)])
"""


def test_an_end_that_somebody_made_is_no_clean_one(drive, build, pki):
    """A forged header of an alert is none: only a whole one that mbedTLS has taken ends a connection."""
    for rows in joined(drive, TRUNCATED, build, *plain(pki)):
        assert rows == [
            ["last words", True],
            ["", True],
            ["last words", "", True],
            ["last words", "", True],
            ["last words", "", "", True],
            ["last words", "error", "error", False],
            ["", "last words", True],
        ]


ASYNC = """
async def pump(one, other, size):
    # What `one` wants to send goes to `other`, until it ends.
    reader, writer = asyncio.StreamReader(one.encrypted), asyncio.StreamWriter(other.encrypted, {})
    while True:
        data = await reader.read(size)
        if not data:
            break
        writer.write(data)
        await writer.drain()
    other.encrypted.end()

async def serve(pair):
    stream = asyncio.StreamReader(pair.cleartext)
    total = 0
    while True:
        line = await stream.readline()
        if not line:
            break
        total += len(line)
        stream.write(line.upper())
        await stream.drain()
    pair.cleartext.close()
    return total

async def main():
    ticks = 0
    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep_ms(1)
    ticking = asyncio.create_task(tick())
    a, b = SecurePair(CLIENT, server_hostname="localhost"), SecurePair(SERVER, server_side=True)
    pumps = [asyncio.create_task(pump(a, b, 700)), asyncio.create_task(pump(b, a, 900))]
    serving = asyncio.create_task(serve(b))
    stream = asyncio.StreamReader(a.cleartext)
    good = 0
    for number in range(40):
        line = b"line %d %s\\n" % (number, b"x" * (number * 91))
        stream.write(line)
        await stream.drain()
        good += await stream.readline() == line.upper()
    stream.close()
    await stream.wait_closed()
    total = await asyncio.wait_for(serving, 5)
    for one in pumps:
        await asyncio.wait_for(one, 5)
    ticking.cancel()
    tell([good, total, a.authorized, ticks > 3])

asyncio.run(main())
"""


def test_asyncio_streams_over_pairs(drive, build, pki):
    good, total, authorized, ticked = joined(drive, ASYNC, build, *plain(pki))
    assert good == 40 and total == sum(len(f"line {n} \n") + n * 91 for n in range(40))
    assert authorized is True and ticked is True


REFUSED = """
told = []
for make in (
    lambda: SecurePair(CLIENT, True),
    lambda: SecurePair(SERVER, False),
    lambda: SecurePair(CLIENT),
    lambda: SecurePair({"no": 1}),
    lambda: SecurePair(dict(SERVER_OPTIONS, no=1), True),
    lambda: SecurePair("text"),
):
    try:
        make()
        told.append(None)
    except Exception as error:
        told.append([type(error).__name__, getattr(error, "code", str(error))])
with SecurePair(SERVER_OPTIONS, True) as server, SecurePair(CLIENT_OPTIONS, server_hostname="localhost") as client:
    client.cleartext.write(b"x")
    told.append(carry(client, server, 0) > 100)
tell([told, repr(client.cleartext), repr(server.cleartext)])
"""


def test_options_are_checked_when_a_pair_is_made(drive, build, pki):
    told, *reprs = joined(drive, REFUSED, build, *plain(pki))
    assert told == [
        ["ConfigurationError", "option-value"],
        ["ConfigurationError", "option-value"],
        ["ConfigurationError", "server-name"],
        ["ConfigurationError", "option-unknown"],
        ["ConfigurationError", "option-unknown"],
        ["ConfigurationError", "option-value"],
        True,
    ]
    assert not any("PRIVATE" in text for text in reprs)
