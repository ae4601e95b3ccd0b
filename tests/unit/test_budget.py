"""securesocket.budget: options, what it tells, what it remembers; and the tables that it reads."""

import gc
import sys

import securesocket.heap_table_32 as table_32
import securesocket.heap_table_64 as table_64
from certstore import anchors
from certstore.certificate import Certificate
from certstore.store import CertStore
from securesocket.errors import ConfigurationError, MemoryBudgetError
from support import ON_MICROPYTHON, Skip, only_on_micropython, raises, vector

ROOT_EC = vector("flights/root_ec.der")
ROOT_RSA = vector("flights/root_rsa.der")
KINDS = ("EC P-256", "RSA 2048", "EC P-384", "EC P-521", "RSA 3072", "RSA 4096")
WORD = 8 if sys.maxsize > 0x7FFFFFFF else 4

if ON_MICROPYTHON:
    import securesocket.budget as budget
    from securesocket import SecureContext


def device_only():
    only_on_micropython("it is about MicroPython's heap; what it imports is there only")


def store(*ders):
    return CertStore(anchors.build(ders, 1700000000))


def forget():
    budget._known_hosts[:] = [None] * len(budget._known_hosts)


# ---- the tables


def pieces(data):
    """Bytes of pieces, in blocks."""
    assert len(data) % 3 == 0 and data
    total = 0
    for at in range(0, len(data), 3):
        blocks, count = data[at] << 8 | data[at + 1], data[at + 2]
        assert blocks > 0 and count > 0
        total += blocks * count
    return total


def test_tables_name_the_same_kinds():
    assert table_32.KINDS == table_64.KINDS == KINDS


def test_rows_of_a_table_are_whole():
    for table, word in ((table_32, 4), (table_64, 8)):
        # The first is taken where a port has none.
        assert [row[1] for row in table.ROWS] in (["linux"], ["linux", "rp2"])
        for engine, platform, words, mbedtls, session, kinds in table.ROWS:
            assert (engine, words) == ("stock", word)
            assert len(mbedtls) == 3 and mbedtls[0] == 3
            # Both record buffers, the context, the state.
            assert 20_480 < pieces(session) * 4 * word < 32_768
            assert len(kinds) == len(KINDS)
            for anchor, certificate, arithmetic in kinds:
                assert 256 < pieces(anchor) * 4 * word < 4096
                assert 256 < pieces(certificate) * 4 * word < 8192
                assert 2048 < pieces(arithmetic) * 4 * word < 16_384


def test_kinds_are_in_the_order_of_what_verifying_takes():
    """The budget takes the last of them for the largest."""
    for table in (table_32, table_64):
        for row in table.ROWS:
            arithmetic = [pieces(kind[2]) for kind in row[5]]
            assert arithmetic == sorted(arithmetic)
            assert max(pieces(kind[1]) for kind in row[5]) == pieces(row[5][-1][1])


def test_a_record_buffer_is_the_largest_piece():
    for table, word in ((table_32, 4), (table_64, 8)):
        for row in table.ROWS:
            largest = max(row[4][at] << 8 | row[4][at + 1] for at in range(0, len(row[4]), 3)) * 4 * word
            assert 16_384 < largest < 17_408


def test_comments_of_the_tables_are_their_sums():
    if ON_MICROPYTHON:
        raise Skip("the sources are on the host")
    import re

    for table, word in ((table_32, 4), (table_64, 8)):
        with open(table.__file__) as file:
            told = re.findall(r"# (.*): (\d+), (\d+), (\d+) bytes", file.read())
        sums = [
            (name,) + tuple(str(pieces(part) * 4 * word) for part in kind)
            for name, kind in zip(KINDS, table.PIECES)
        ]
        assert told == sums


def test_row_is_of_this_width():
    device_only()
    kinds, session, parts, block = budget.table_row()
    table = table_64 if WORD == 8 else table_32
    assert kinds == KINDS and block == 4 * WORD
    assert (session, parts) == table.ROWS[0][4:6]


# ---- the options


def options(values):
    return SecureContext(trust=store(ROOT_EC), **values)


def test_options_take_their_values_and_no_other():
    device_only()
    for value in ("raise", "warn", None):
        assert SecureContext(trust=store(ROOT_EC), budget=value).budget == value
    for value in (0, 8192, 10_000_000):
        assert SecureContext(trust=store(ROOT_EC), reserve=value).reserve == value
    context = SecureContext(trust=store(ROOT_EC))
    assert (context.budget, context.reserve) == ("raise", 0)
    assert SecureContext(trust=store(ROOT_EC), budget=None, reserve=0).reserve == 0
    for value in (True, False, 0, "", "Raise", "error", b"raise", 8192, []):
        error = raises(ConfigurationError, "option-value", options, {"budget": value})
        assert error.found == "budget=%r" % (value,) and '"warn"' in error.expected
    for value in (-1, True, False, None, 1.5, "8192", b"", [1]):
        error = raises(ConfigurationError, "option-value", options, {"reserve": value})
        assert error.found == "reserve=%r" % (value,) and "bytes" in error.expected
    error = raises(ConfigurationError, "option-value", options, {"reserve": 1, "budget": None})
    assert "budget=None turns off" in error.expected


# ---- what there is


def test_free_is_what_the_heap_has():
    device_only()
    found = budget.free()
    gc.collect()
    assert abs(found - gc.mem_free()) < 16_384
    hold = [bytearray(40_000) for _ in range(25)]
    less = budget.free()
    assert 950_000 < found - less < 1_050_000
    assert len(hold) == 25


def test_largest_block_can_be_had_and_no_more():
    device_only()
    for _ in range(3):
        largest = budget.largest_block()
        assert 0 < largest <= gc.mem_free()
    bytearray(largest - 64)
    gc.collect()
    try:
        bytearray(largest + 4096)
    except MemoryError:
        return
    raise AssertionError("%d more could be had" % 4096)


def test_largest_block_is_not_what_is_free():
    """A heap in fragments."""
    device_only()
    gc.collect()
    size = 20_000
    count = gc.mem_free() // (size + 32) + 1
    held = [None] * count
    try:
        for at in range(count):
            held[at] = bytearray(size)
    except MemoryError:
        pass
    for at in range(0, count, 2):
        held[at] = None
    free, largest = budget.free(), budget.largest_block()
    held = None
    gc.collect()
    assert free > 10 * size
    assert largest < 3 * size


class C:
    """As if mbedTLS took its memory from the C heap, and esp32 told of it as it does."""

    HEAP_DATA = 4

    def __init__(self, regions):
        self.regions = regions

    def idf_heap_info(self, capabilities):
        assert capabilities == self.HEAP_DATA
        return self.regions

    def __enter__(self):
        budget._heap = budget.C
        if self.regions is not None:
            sys.modules["esp32"] = self

    def __exit__(self, *failure):
        budget._heap = None
        if "esp32" in sys.modules:
            del sys.modules["esp32"]


# (total, free, largest free, least free ever): as of an ESP32-C3.
ROOMY = [(150_000, 90_000, 70_000, 60_000), (30_000, 20_000, 12_000, 20_000)]
SPLIT = [(60_000, 40_000, 12_000, 30_000), (60_000, 40_000, 15_000, 30_000)]
FULL = [(150_000, 18_000, 17_500, 9_000)]


def test_heap_is_found_out():
    device_only()
    budget._heap = None
    assert budget.heap() == budget.heap() == "MicroPython"

    # An engine whose context gives nothing of this heap back.
    class Elsewhere:
        PROTOCOL_TLS_CLIENT = 0

        def SSLContext(self, protocol):
            return self

        def __del__(self):
            pass

    real = budget.engine.tls
    budget._heap = None
    budget.engine.tls = Elsewhere()
    try:
        assert budget.heap() == "C"
    finally:
        budget.engine.tls = real
        budget._heap = None


def test_a_c_heap_is_asked_for_what_it_has():
    device_only()
    if WORD == 8:
        raise Skip("the C heap of a board, whose words have 32 bits")
    context = SecureContext(trust=store(ROOT_EC))
    for regions, free, largest, fits in (
        (ROOMY, 110_000, 70_000, True),
        (SPLIT, 80_000, 15_000, False),
        (FULL, 18_000, 17_500, False),
    ):
        with C(regions):
            found = budget.estimate("localhost", context)
            assert (found.heap, found.free, found.largest_block, found.fits) == ("C", free, largest, fits)
            assert budget.handshakes_that_fit() == {True: 3, False: 2}.get(fits) or not fits
            if fits:
                budget.check(context, "localhost")
            else:
                raises(MemoryBudgetError, "memory-budget", budget.check, context, "localhost")


def test_a_c_heap_that_tells_nothing_forbids_nothing():
    device_only()
    context = SecureContext(trust=store(ROOT_EC))
    with C(None):
        found = budget.estimate("localhost", context)
        assert (found.free, found.largest_block, found.fits) == (-1, -1, True)
        assert budget.handshakes_that_fit() == 0
        budget.check(context, "localhost")


# ---- which key


def key_of(**options):
    return KINDS[budget._expected(SecureContext(**options), "localhost")[0]]


def test_the_largest_key_of_few_anchors_is_reckoned_with():
    device_only()
    forget()
    assert key_of(trust=store(ROOT_EC)) == "EC P-256"
    assert key_of(trust=store(ROOT_RSA)) == "RSA 2048"
    assert key_of(trust=store(ROOT_RSA, ROOT_EC)) == "RSA 2048"
    assert key_of(trust=[ROOT_EC, ROOT_RSA]) == "RSA 2048"
    assert key_of(trust=ROOT_EC) == "EC P-256"
    # Another context, asked again: what was found for one is not believed of the next.
    assert key_of(trust=store(ROOT_EC)) == "EC P-256"


def test_of_many_anchors_and_of_none_the_largest_kind_is():
    device_only()
    forget()
    assert key_of(verify=False) == "RSA 4096"
    assert key_of(trust=None, pins=bytes(32)) == "RSA 4096"

    class Many(CertStore):
        def __len__(self):
            return count

    few = Many(anchors.build((ROOT_EC,), 1700000000))
    few.certificate = lambda number: ROOT_EC
    for count, key in ((8, "EC P-256"), (9, "RSA 4096")):
        assert key_of(trust=few) == key, count


def test_keys_are_known_by_the_length_of_their_info():
    device_only()
    for length, key in (
        (91, "EC P-256"),
        (120, "EC P-384"),
        (158, "EC P-521"),
        (294, "RSA 2048"),
        (422, "RSA 3072"),
        (550, "RSA 4096"),
        # What is between counts as the next that is no shorter, what is beyond as the largest.
        (44, "EC P-256"),
        (162, "RSA 2048"),
        (295, "RSA 3072"),
        (806, "RSA 4096"),
    ):
        assert KINDS[budget.kind_of(length)] == key, length
    for der in (ROOT_EC, ROOT_RSA):
        assert len(Certificate(der).public_key_info) in budget._KEY_INFO_BYTES


# ---- what is remembered


def test_a_host_is_known_by_what_it_showed_last():
    device_only()
    forget()
    context = SecureContext(trust=store(ROOT_RSA))
    first = budget.estimate("a.test", context)
    assert (first.known, first.key) == (False, "RSA 2048")
    budget.learn("a.test", 91, 1234)
    one = budget.estimate("a.test", context)
    assert (one.known, one.key) == (True, "EC P-256")
    budget.learn("a.test", 550, 5000)
    other = budget.estimate("a.test", context)
    assert (other.known, other.key) == (True, "RSA 4096")
    assert other.needed > one.needed + 3766
    assert budget.estimate("b.test", context).known is False
    assert budget.estimate(None, context).known is False
    # A chain that takes more, and all of it.
    budget.learn("a.test", 550, 5100)
    assert budget.estimate("a.test", context).needed == other.needed + 100


def test_the_name_that_is_verified_is_the_one_that_is_known():
    device_only()
    forget()
    budget.learn("a.test", 91, 1000)
    assert budget.estimate("10.0.0.1", SecureContext(trust=store(ROOT_RSA), server_name="a.test")).known


def test_six_hosts_are_remembered():
    device_only()
    forget()
    context = SecureContext(trust=store(ROOT_EC))
    for number in range(7):
        budget.learn("host-%d" % number, 91, 1000)
    budget.learn("host-3", 91, 1100)
    known = [budget.estimate("host-%d" % number, context).known for number in range(7)]
    assert known == [False] + [True] * 6
    assert len(budget._known_hosts) == 12


def test_nothing_is_learnt_of_what_was_not_seen():
    device_only()
    forget()
    for host, key_bytes in ((None, 91), ("a.test", 0)):
        budget.learn(host, key_bytes, 1000)
    assert budget._known_hosts == [None] * 12
    # What was free meanwhile may be more than before: no chain is smaller than nothing.
    budget.learn("a.test", 91, -500)
    assert budget._known_hosts[-1] == 0


def test_learning_allocates_nothing_that_stays():
    device_only()
    forget()
    hosts = ["host-%d" % number for number in range(9)]
    for host in hosts:
        budget.learn(host, 91, 1000)
    gc.collect()
    before = gc.mem_alloc()
    for host in hosts:
        budget.learn(host, 550, 6000)
    gc.collect()
    assert gc.mem_alloc() <= before
    assert budget._known_hosts[-2] is hosts[-1]


# ---- what is told


def test_estimate_tells_what_is_needed_and_what_there_is():
    device_only()
    forget()
    found = budget.estimate("localhost", {"trust": store(ROOT_EC)})
    assert (
        found.fits is True
        and found.known is False
        and found.key == "EC P-256"
        and found.heap == "MicroPython"
    )
    assert found.largest_block <= found.free and found.reserve == 0
    assert 16_384 < found.largest_needed < found.needed < 60_000
    text = repr(found)
    assert text.startswith(
        "fits: %d bytes needed, %d of them in one piece" % (found.needed, found.largest_needed)
    )
    assert "(EC P-256, not seen before)" in text and "MicroPython heap" in text
    assert "%d free, largest block %d" % (found.free, found.largest_block) in text
    context = SecureContext(trust=store(ROOT_EC), reserve=5000)
    assert budget.estimate("localhost", context).reserve == 5000
    assert "and 7000 in reserve" in repr(budget.estimate("localhost", context, reserve=7000))
    budget.learn("localhost", 91, 1000)
    assert "as this host had last time" in repr(budget.estimate("localhost", context))


def test_a_reserve_is_kept():
    device_only()
    forget()
    context = SecureContext(trust=store(ROOT_EC))
    found = budget.estimate("localhost", context)
    room = found.free - found.needed
    assert budget.estimate("localhost", context, reserve=room - 20_000).fits is True
    assert budget.estimate("localhost", context, reserve=room + 20_000).fits is False
    for bad in (-1, "8192", True):
        raises(ConfigurationError, "option-value", budget.estimate, "localhost", context, bad)


def refusal(context, host="localhost"):
    return raises(MemoryBudgetError, "memory-budget", budget.check, context, host)


def test_error_has_numbers_and_ways_out():
    device_only()
    forget()
    context = SecureContext(trust=store(ROOT_EC), reserve=100_000_000)
    error = refusal(context)
    assert error.errno == 12
    assert error.needed < 60_000 and error.free < 100_000_000 and error.largest_block <= error.free
    assert "%d bytes needed and 100000000 in reserve" % error.needed in error.found
    ways = error.remedy.split("; ")
    assert ways[0].startswith("close other sessions")
    assert ways[1].startswith('budget="warn"')
    # What is still missing is what a heap of that much more would have.
    assert ways[-1] == "free %d bytes" % (error.needed + 100_000_000 - error.free)
    budget.learn("localhost", 91, 1000)
    assert 'budget="warn"' not in refusal(context).remedy


def test_ways_out_follow_what_is_missing():
    device_only()

    class Found:
        needed, largest_needed, free, largest_block, reserve, known = 30_000, 17_000, 28_000, 20_000, 0, True

    found = Found()
    assert budget._ways_out(found) == (
        "close other sessions (each open one holds 23 KB); "
        "max_fragment_length=4096 saves 12 KB (with the native engine); free 2000 bytes"
    )
    found.largest_block = 16_000
    assert budget._ways_out(found).startswith(
        "connect early, before the heap is in fragments, and call gc.collect()"
    )
    found.reserve = 20_000
    assert "max_fragment_length" not in budget._ways_out(found)
    # Enough in all, and not in pieces that large.
    found.free, found.largest_block, found.reserve = 40_000, 20_000, 0
    assert budget._ways_out(found).startswith("connect early")
    assert "free " not in budget._ways_out(found)


def test_warning_is_printed_and_goes_on():
    device_only()
    forget()
    assert (
        budget.check(SecureContext(trust=store(ROOT_EC), budget="warn", reserve=100_000_000), "localhost")
        is None
    )
    assert budget.check(SecureContext(trust=store(ROOT_EC)), "localhost") is None


# ---- how many


def test_handshakes_that_fit():
    device_only()
    gc.collect()
    ballast = [bytearray(50_000) for _ in range((gc.mem_free() - 600_000) // 51_000)]
    many = budget.handshakes_that_fit()
    assert many == budget.handshakes_that_fit("client")
    kinds, session, parts, block = budget.table_row()
    needed = pieces(session) * block
    assert 0 < many <= budget.free() // needed
    # A server holds no chain of its peer.
    assert budget.handshakes_that_fit("server") >= many
    assert budget.handshakes_that_fit("client", "EC P-256") >= many
    assert budget.handshakes_that_fit("client", "RSA 4096") == many
    # It falls as sessions open: each piece of one is held.
    held = [None] * 160
    budget._hold(session, held, 0)
    held.extend([bytearray(needed) for _ in range(3)])
    assert many - 6 <= budget.handshakes_that_fit() <= many - 3
    held = None
    gc.collect()
    assert budget.handshakes_that_fit() == many
    assert ballast is not None


def test_handshakes_that_fit_takes_its_arguments_and_no_other():
    device_only()
    for role in ("", "Client", None, 1, "both"):
        error = raises(ConfigurationError, "option-value", budget.handshakes_that_fit, role)
        assert error.found == "role=%r" % (role,) and "server" in error.expected
    for key in ("", "EC", "RSA", "rsa 2048", 2048):
        error = raises(ConfigurationError, "option-value", budget.handshakes_that_fit, "client", key)
        assert error.found == "key=%r" % (key,) and "RSA 4096" in error.expected
