"""What sending and receiving over DTLS raises; loaded with it, for `errors` is in every firmware."""

from certstore.compat import const
from certstore.errors import SecureSocketError

_EPIPE = const(32)
_EMSGSIZE = const(90)
_EADDRINUSE = const(98)
_ECONNRESET = const(104)
_ETIMEDOUT = const(110)


class DatagramError(SecureSocketError):
    """A datagram was not sent or received; only what ends the connection latches."""

    package = "securesocket"

    numbers = (
        (_ETIMEDOUT, "receive-timeout accept-timeout peer-idle"),
        (_EMSGSIZE, "datagram-size datagram-truncated"),
        (_EADDRINUSE, "datagram-bind datagram-port"),
        (_EPIPE, "datagram-closed"),
        (_ECONNRESET, None),
    )
