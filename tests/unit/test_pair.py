"""securesocket.pair: the streams in memory, without TLS between them."""

import securesocket.pair as pair
from certstore.errors import SecureSocketError
from securesocket.pair import EncryptedStream, Pipe
from support import raises

LIMIT = pair.MAX_BUFFERED
POLLIN, POLLOUT, POLLHUP = 1, 4, 16


def ends():
    """Two ends that are joined: what one writes the other reads."""
    there, back = Pipe(), Pipe()
    return EncryptedStream(there, back), EncryptedStream(back, there)


def text(size, first=0):
    return bytes([(first + at) % 251 for at in range(size)])


def test_what_is_written_is_read_once_and_in_order():
    one, other = ends()
    assert other.read() is None and other.readinto(bytearray(5)) is None
    assert one.write(b"abc") == 3 and one.write(memoryview(b"xdefx")[1:4]) == 3
    assert other.read(2) == b"ab"
    buf = bytearray(8)
    assert other.readinto(buf) == 4 and buf == b"cdef\0\0\0\0"
    assert other.read() is None
    assert one.write(bytearray(b"ghi")) == 3 and other.readinto(buf, 1) == 1 and other.read() == b"hi"
    assert buf[:1] == b"g"


def test_nothing_written_and_nothing_asked_for_is_no_end():
    one, other = ends()
    assert one.write(b"") == 0 and other.read() is None
    assert other.read(0) == b"" and other.readinto(bytearray(0)) == 0
    one.write(b"a")
    assert other.read(0) == b"" and other.read() == b"a"


def test_the_limit_from_both_sides():
    for size in (1, LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT):
        one, other = ends()
        data = text(size)
        assert one.write(data) == min(size, LIMIT)
        more = one.write(b"m")
        assert more == (1 if size < LIMIT else None)
        assert other.read() == data[:LIMIT] + (b"m" if more else b"")
        assert one.write(b"m") == 1


def test_a_full_direction_takes_as_much_as_was_read():
    one, other = ends()
    data = text(LIMIT)
    assert one.write(data) == LIMIT and one.write(b"x") is None
    assert other.read(100) == data[:100]
    assert one.write(text(200, 7)) == 100 and one.write(b"x") is None
    assert other.read() == data[100:] + text(100, 7)


def test_sizes_of_any_kind_keep_the_order():
    one, other = ends()
    sent = got = 0
    back = b""
    for step in range(1500):
        sent += one.write(text(step * 37 % 611, sent)) or 0
        piece = other.read(step * 53 % 677) or b""
        assert piece == text(len(piece), got)
        got += len(piece)
        if step % 3 == 0:
            other.write(b"%d." % step)
            back += one.read()
    assert other.read() == text(sent - got, got) or sent == got
    assert back == b"".join([b"%d." % step for step in range(0, 1500, 3)])


def test_poll_tells_what_can_be_done():
    one, other = ends()
    assert one.ioctl(3, POLLIN | POLLOUT) == POLLOUT and one.ioctl(3, POLLIN) == 0
    other.write(b"a")
    assert one.ioctl(3, POLLIN) == POLLIN and one.ioctl(3, POLLOUT) == POLLOUT
    one.write(text(LIMIT))
    assert one.ioctl(3, POLLIN | POLLOUT) == POLLIN
    other.close()
    assert one.ioctl(3, POLLIN | POLLOUT) == POLLIN | POLLOUT | POLLHUP
    assert one.ioctl(99, 0) == -22


def test_a_closed_end_is_the_end_for_the_other():
    one, other = ends()
    one.write(b"last words")
    one.ioctl(4, 0)
    assert other.read(4) == b"last" and other.read() == b" words"
    assert other.read() == b"" and other.read(5) == b"" and other.readinto(bytearray(5)) == 0
    assert raises(SecureSocketError, "closed", other.write, b"x").errno == 9
    for call in (one.read, lambda: one.write(b"x"), lambda: one.readinto(bytearray(1))):
        raises(SecureSocketError, "closed", call)
    one.close()


def test_one_direction_may_end_alone():
    one, other = ends()
    one.write(b"last")
    one.end()
    assert other.read() == b"last" and other.read() == b""
    assert other.write(b"still") == 5 and one.read() == b"still" and one.read() is None
    raises(SecureSocketError, "closed", one.write, b"x")
    one.end()
    other.end()
    assert one.read() == b""
    one.close()
    raises(SecureSocketError, "closed", one.end)


def test_what_a_closed_end_had_not_read_is_gone():
    one, other = ends()
    other.write(text(5000))
    one.close()
    assert other.read() == b""
