"""Whether the heap carries one more client: asked by a server before it makes a session.

With the pieces of a client's session and handshake (budget): the buffers are the same, and what signing takes
with an elliptic curve is what verifying takes.
"""

from certstore.certificate import Certificate
from certstore.compat import const

from .budget import carries, free, kind_of

# What a handshake that has begun may still take while it waits for its client: key share, digests, its path.
_BEGUN_BYTES = const(2048)
# A key with a shorter DER is no RSA key of 2048 bits. Signing with one takes so many times its length more
# than verifying.
_SMALLEST_RSA_KEY_BYTES = const(600)
_SIGNING_FACTOR = const(4)


def needs(chain, key):
    """What fits() asks of an identity: the number of budget's kind for its largest key, and the bytes that
    signing takes beyond verifying."""
    kind = max([kind_of(len(Certificate(der).public_key_info)) for der in chain])
    return kind, len(key) * _SIGNING_FACTOR if len(key) >= _SMALLEST_RSA_KEY_BYTES else 0


def fits(context, serving, begun):
    """Whether one more session fits, and its handshake, beside `begun` others."""
    kind, signing = serving.needs
    chain = 0 if serving.trust is None else None
    return carries(kind, chain, context.reserve, signing + begun * _BEGUN_BYTES)


def refusal(connections=0):
    """The error for a client that finds no room beside so many open connections."""
    from .errors import MemoryBudgetError

    return MemoryBudgetError(
        "server-memory", found="%d bytes free, %d connections open" % (free(), connections)
    )


def check(context, serving):
    """For a connection that no SecureServerSocket counts: raises MemoryBudgetError, or prints it, if the heap
    will not carry it."""
    if context.budget and not fits(context, serving, 0):
        error = refusal()
        if context.budget == "raise":
            raise error
        print("securesocket: " + str(error))
