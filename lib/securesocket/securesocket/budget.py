"""Whether the heap will carry a handshake: told before it starts.

What a handshake takes is known in pieces, measured by `make calibrate` (heap_table_32, heap_table_64). A
heap in fragments is not described by what is free in it, nor by its largest block: so the pieces are taken,
in the order in which mbedTLS takes them, and given back. That is asked of a heap only where one block does
not hold them all.

Which pieces: those for the keys and the chain that a host has shown last time; of a host not seen before, for
the largest key among the anchors that may answer for it, and for two certificates.
"""

import gc
import io
import sys

from certstore.certificate import Certificate
from certstore.compat import const

from .context import refused
from .engine import engine

# The heap that mbedTLS takes its memory from.
MICROPYTHON = "MicroPython"
C = "C"

# What the allocator may lose between pieces, for each of heap_table's KINDS: as many pieces of this size.
# Arithmetic of RSA takes large numbers, gives them back and takes others in between. Found by `make campaign
# NAME=budget`: with less, handshakes fail that it said would pass.
_SLACK_BYTES = (64, 352, 64, 64, 528, 704)
_SLACK_PIECES = const(2)
# What a certificate is reckoned with more than it takes, because of where that lies (tools/calibrate/run.py).
_SPOILT_BYTES = (0, 272, 0, 0, 400, 528)
# The list that holds the pieces of a session stands for the objects of a connection: it is as large as they.
_PIECES = const(160)
_FILL = (None,)
# A tuple of three blocks: what an attribute of a name is parsed to.
_NAME_WORDS = const(10)
# So many bytes of these, and of what else has no known form; beyond that pieces of 17 blocks.
_MANY_NAMES_BYTES = const(1024)
_LARGE_WORDS = const(66)
# What a certificate and a key of our own are parsed to, besides their DER.
_PARSED_CERTIFICATE_BYTES = const(600)
_PARSED_KEY_BYTES = const(300)
# A key with a shorter DER is no RSA key of 2048 bits. Signing with one takes 7.5 times its length.
_SMALLEST_RSA_KEY_BYTES = const(600)
_SIGNING_FACTOR_HALVES = const(15)
# Where one block has room for all and for this much more, nothing has to be tried.
_PLENTY_BYTES = const(256)
# How many certificates a host not seen before is expected to send.
_USUAL_CHAIN = const(2)
# Stores of no more anchors are asked for the largest key in them; larger ones are taken to have one of each.
_FEW_ANCHORS = const(8)
# Hosts that are remembered, each by what it showed last.
_HOSTS = const(6)
# The longest SubjectPublicKeyInfo of heap_table's KINDS, in their order: RSA with a modulus of 256, 384, 512
# bytes, curves of 32, 48 and 66.
_KEY_INFO_BYTES = (91, 294, 120, 158, 422, 550)

_known_hosts = [None] * (2 * _HOSTS)
_anchors_key = [None, 0]
_row = None
_heap = None


class Estimate:
    """What a handshake needs, and what there is; bytes.

    needed: all that is held at its peak; largest_needed: in one piece; free, largest_block: of the heap that
    mbedTLS uses (`heap`), garbage collected; reserve: what is to stay free meanwhile; key: the key that was
    reckoned with; known: whether this host has shown it before; fits: the verdict.
    """

    def __init__(self, key, known, needed, largest_needed, reserve, fits):
        self.key = key
        self.known = known
        self.needed = needed
        self.largest_needed = largest_needed
        self.reserve = reserve
        self.heap = heap()
        self.free = free()
        self.largest_block = largest_block()
        self.fits = fits

    def __repr__(self):
        return (
            "%s: %d bytes needed%s, %d of them in one piece (%s, %s); %d free, largest block %d, %s heap"
            % (
                "fits" if self.fits else "does not fit",
                self.needed,
                " and %d in reserve" % self.reserve if self.reserve else "",
                self.largest_needed,
                self.key,
                "as this host had last time" if self.known else "not seen before",
                self.free,
                self.largest_block,
                self.heap,
            )
        )


def heap():
    """Which heap mbedTLS uses, MICROPYTHON or C: found out, once, by giving back what a context has of it."""
    global _heap
    if _heap is None:
        context = engine.tls.SSLContext(engine.tls.PROTOCOL_TLS_CLIENT)
        before = gc.mem_alloc()
        context.__del__()
        _heap = MICROPYTHON if gc.mem_alloc() < before else C
    return _heap


def free():
    """Bytes that are free in the heap that mbedTLS uses, garbage collected; -1 where nothing tells."""
    gc.collect()
    if heap() == MICROPYTHON:
        return gc.mem_free()
    regions = _regions()
    return sum(region[1] for region in regions) if regions else -1


def largest_block():
    """Bytes of the largest piece that this heap can give: on the MicroPython heap by asking for one."""
    if heap() == C:
        regions = _regions()
        return max(region[2] for region in regions) if regions else -1
    gc.collect()
    low, high = 0, gc.mem_free()
    while high - low > 16:
        middle = (low + high + 1) // 2
        try:
            io.BytesIO(middle).close()
            low = middle
        except MemoryError:
            high = middle
    return low


def estimate(host=None, secure=None, reserve=0):
    """What a connection to `host` would need now, without connecting: an Estimate. secure: as of
    SecureSocket; without it, the store of this device."""
    from .context import SecureContext

    context = secure if isinstance(secure, SecureContext) else SecureContext(**(secure or {}))
    check_options("raise", reserve)
    host = context.server_name or host
    key, chain = _expected(context, host)
    reserve = reserve or context.reserve
    return _estimated(key, chain, _identity(context, key, chain), _memory_of(host) is not None, reserve)


def handshakes_that_fit(role="client", key=None):
    """How many more handshakes of this role ("client", "server") the heap carries now, one of them at its
    peak; key: one of KINDS, by default the largest that there is a measurement of."""
    row = table_row()
    if role != "client" and role != "server":
        raise refused("role", repr(role), '"client" or "server"')
    if key is not None and key not in row[0]:
        raise refused("key", repr(key), ", ".join(row[0]))
    number = len(row[0]) - 1 if key is None else row[0].index(key)
    if heap() == C:
        session, peak = _total(row, number, None)
        regions = free()
        return 0 if regions < 0 else max(0, (regions - (peak - session)) // session)
    anchor, certificate, arithmetic = row[2][number]
    sessions = None
    count = 0
    gc.collect()
    try:
        # The peak of one, held as long as the others are counted.
        peak = [None] * _PIECES
        _hold(arithmetic, peak, 0)
        while True:
            held = [None] * _PIECES
            at = _hold(anchor, held, _hold(row[1], held, 0))
            if role == "client":
                for _ in range(_USUAL_CHAIN):
                    at = _hold(certificate, held, at)
            held[_PIECES - 1] = sessions
            sessions = held
            count += 1
    except MemoryError:
        peak = held = sessions = None
    gc.collect()
    return count


def check_options(budget, reserve):
    """Raises unless budget= and reserve= can be used."""
    if budget is not None and budget != "raise" and budget != "warn":
        raise refused("budget", repr(budget), '"raise", "warn" or None')
    if type(reserve) is not int or reserve < 0:
        raise refused("reserve", repr(reserve), "a number of bytes")
    if reserve and budget is None:
        raise refused("reserve", repr(reserve), "a budget, which budget=None turns off")


def check(context, host):
    """Before a connection of this context: raises MemoryBudgetError, or prints it, if it will not fit."""
    key, chain = _expected(context, host)
    identity = _identity(context, key, chain)
    if carries(key, chain, context.reserve, identity):
        return
    found = _estimated(key, chain, identity, _memory_of(host) is not None, context.reserve)
    if found.fits:
        # Other tasks have given something back meanwhile.
        return
    from .errors import MemoryBudgetError

    error = MemoryBudgetError("memory-budget", found=repr(found), remedy=_ways_out(found))
    error.needed, error.free, error.largest_block = found.needed, found.free, found.largest_block
    if context.budget == "raise":
        raise error
    print("securesocket: " + str(error))


def learn(host, key_bytes, chain_bytes):
    """After a verified handshake: the largest SubjectPublicKeyInfo of its path, and what its chain took."""
    if host is None or not key_bytes:
        return
    fact = kind_of(key_bytes) | max(0, chain_bytes) << 4
    for at in range(0, len(_known_hosts), 2):
        if _known_hosts[at] == host:
            break
    else:
        # The one that was remembered first makes room.
        _known_hosts[:-2] = _known_hosts[2:]
        at = len(_known_hosts) - 2
    _known_hosts[at] = host
    _known_hosts[at + 1] = fact


def table_row():
    """(KINDS, session, kinds, bytes of a block) of the table for this engine, port and width of a word."""
    global _row
    if _row is None:
        word = 8 if sys.maxsize > 0x7FFFFFFF else 4
        if word == 8:
            from .heap_table_64 import KINDS, ROWS
        else:
            from .heap_table_32 import KINDS, ROWS
        # The port's own where it was measured, else the first: the pieces are mbedTLS's.
        for row in ROWS:
            if row[0] == engine.NAME and row[1] == sys.platform:
                break
        else:
            row = ROWS[0]
        _row = (KINDS, row[4], row[5], 4 * word)
    return _row


def _regions():
    """[(total, free, largest free, least free ever)] of the C heap, bytes; None where nothing tells."""
    try:
        import esp32

        return esp32.idf_heap_info(esp32.HEAP_DATA)
    except (ImportError, AttributeError):
        return None


def _memory_of(host):
    for at in range(0, len(_known_hosts), 2):
        if _known_hosts[at] == host and host is not None:
            return _known_hosts[at + 1]


def _expected(context, host):
    """(number of a kind of key, bytes of the chain or None) for a connection to `host`."""
    fact = _memory_of(host)
    if fact is not None:
        return fact & 15, fact >> 4
    trust = context.trust
    if trust is None:
        # No anchor decides, and no signature is verified but the server's own: any key may come.
        return len(_KEY_INFO_BYTES) - 1, None
    if _anchors_key[0] is not trust:
        _anchors_key[1] = _largest_key(trust)
        _anchors_key[0] = trust
    return _anchors_key[1], None


def _largest_key(trust):
    largest = 0
    for store in trust._stores:
        if len(store) > _FEW_ANCHORS:
            return len(_KEY_INFO_BYTES) - 1
        for number in range(len(store)):
            largest = max(largest, kind_of(len(Certificate(store.certificate(number)).public_key_info)))
    for _, der in trust._own:
        largest = max(largest, kind_of(len(Certificate(der).public_key_info)))
    return largest


def kind_of(key_bytes):
    """The number of the kind with a SubjectPublicKeyInfo of this length; of unknown ones the largest."""
    best = len(_KEY_INFO_BYTES) - 1
    for number in range(len(_KEY_INFO_BYTES) - 1, -1, -1):
        if key_bytes <= _KEY_INFO_BYTES[number] and _KEY_INFO_BYTES[number] <= _KEY_INFO_BYTES[best]:
            best = number
    return best


def _chain(row, number, chain):
    """(bytes of the chain, pieces of one certificate)."""
    certificate = row[2][number][1]
    return (_USUAL_CHAIN * _sum(certificate, row[3]) if chain is None else chain), certificate


def _sum(pieces, block):
    return sum((pieces[at] << 8 | pieces[at + 1]) * pieces[at + 2] * block for at in range(0, len(pieces), 3))


def _total(row, number, chain):
    """(held while it is not at its peak, at its peak), bytes."""
    anchor, _, arithmetic = row[2][number]
    session = _sum(row[1], row[3]) + _sum(anchor, row[3]) + _chain(row, number, chain)[0]
    session += _small(row)
    return session, session + _sum(arithmetic, row[3])


def _small(row):
    """Bytes of our own objects: of the list that stands for them."""
    return (_PIECES + 4) * row[3] // 4


def _identity(context, number, chain):
    """Bytes that this context's own certificates and key take, and signing with it beyond verifying: by the
    length of their DER, as measured with keys of P-256 and RSA 2048."""
    if context.identity is None:
        return 0
    own, key = context.identity
    held = sum(len(der) + _PARSED_CERTIFICATE_BYTES for der in own) + len(key) + _PARSED_KEY_BYTES
    if len(key) < _SMALLEST_RSA_KEY_BYTES:
        return held
    row = table_row()
    verifying = _chain(row, number, chain)[0] + _sum(row[2][number][2], row[3])
    # The server's chain is gone by then.
    return held + max(0, len(key) * _SIGNING_FACTOR_HALVES // 2 - verifying)


def carries(number, chain, reserve, identity=0, row=None):
    """Whether the heap carries a session and its handshake now; number: of the key's kind, chain: bytes of
    the peer's certificates (None: as usual), identity: bytes beyond that, in whatever pieces; row: other
    pieces than a client's, as of table_row."""
    row = row or table_row()
    needed = _total(row, number, chain)[1] + identity + reserve
    if heap() == C:
        there = free()
        largest = max(row[1][at] << 8 | row[1][at + 1] for at in range(0, len(row[1]), 3)) * row[3]
        return there < 0 or (there >= needed and largest_block() >= largest)
    try:
        # Our own objects find room elsewhere.
        io.BytesIO(needed - _small(row) + _PLENTY_BYTES).close()
        return True
    except MemoryError:
        return _rehearse(row, number, chain, reserve, identity)


def _rehearse(row, number, chain, reserve, identity):
    anchor, certificate, arithmetic = row[2][number]
    left = _chain(row, number, chain)[0]
    each = _sum(certificate, row[3]) - _SPOILT_BYTES[number] * row[3] // 16
    held = None
    try:
        held = [None] * _PIECES
        at = _hold(anchor, held, _hold(row[1], held, 0))
        while left >= each:
            at = _hold(certificate, held, at)
            left -= each
        # Names and hosts: if there are many, not each by itself.
        left += identity
        while left > 0:
            words = _NAME_WORDS if left < _MANY_NAMES_BYTES else _LARGE_WORDS
            held[at] = _FILL * words
            at += 1
            left -= (words + 2) * row[3] // 4
        at = _hold(arithmetic, held, at)
        for place in range(at, at + _SLACK_PIECES):
            # In words, of 4 bytes or of 8: there it is twice as much.
            held[place] = _FILL * (_SLACK_BYTES[number] // 4 - 2)
        gc.collect()
        fits = gc.mem_free() >= reserve
    except (MemoryError, IndexError):
        # A list that is full: more pieces than any chain has.
        fits = False
    held = None
    gc.collect()
    return fits


def _hold(pieces, held, at):
    """Takes these pieces, each a tuple and one piece of the heap, into held[at:]; where the next goes. Raises
    MemoryError."""
    for index in range(0, len(pieces), 3):
        # A block has four words; a tuple begins with two of its own.
        size = (pieces[index] << 8 | pieces[index + 1]) * 4 - 2
        for place in range(at, at + pieces[index + 2]):
            held[place] = _FILL * size
        at += pieces[index + 2]
    return at


def _estimated(number, chain, identity, known, reserve):
    row = table_row()
    largest = max(row[1][at] << 8 | row[1][at + 1] for at in range(0, len(row[1]), 3)) * row[3]
    needed = _total(row, number, chain)[1] + identity
    fits = carries(number, chain, reserve, identity)
    return Estimate(row[0][number], known, needed, largest, reserve, fits)


def _ways_out(found):
    """What to do, the most effective first."""
    ways = []
    missing = found.needed + found.reserve - found.free
    if missing <= 0 or found.largest_block < found.largest_needed <= found.free:
        ways.append("connect early, before the heap is in fragments, and call gc.collect() before")
    ways.append("close other sessions (each open one holds 23 KB)")
    if missing < 16384:
        ways.append("max_fragment_length=4096 saves 12 KB (with the native engine)")
    if not found.known:
        ways.append('budget="warn" tries anyway, and remembers what this host needs')
    if missing > 0:
        ways.append("free %d bytes" % missing)
    return "; ".join(ways)
