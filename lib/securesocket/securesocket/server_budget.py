"""Whether the heap carries one more client: asked by a server before it makes a session.

With the pieces of a client's session and handshake (budget), as far as they are the same: the buffers, and
what an elliptic curve takes, for signing as for verifying. Context and anchors are there already.
"""

from certstore.certificate import Certificate
from certstore.compat import const

from .budget import carries, free, kind_of, table_row

# What a handshake that has begun may still take while it waits for its client: key share, digests, its path.
_BEGUN_BYTES = const(2048)
# What a ClientHello on its way may take meanwhile, and for how many that is kept free: without it, of 8
# clients at once on heaps of 70 to 200 KB (stock32), one failed for want of memory after it was let in.
_HELLO_BYTES = const(1024)
_HELLOS = const(4)
# A key with a shorter DER is no RSA key of 2048 bits. Signing with one takes so many times its length more
# than verifying.
_SMALLEST_RSA_KEY_BYTES = const(600)
_SIGNING_FACTOR = const(4)
# In heap_table's rows the first piece of a session is its tls.SSLContext, which all connections here share.
_CONTEXT_PIECE = const(3)
# In budget's kinds: what a client's certificate is reckoned with at least, whatever its CA has.
_RSA_2048 = const(1)


def needs(chain, key, of_clients):
    """What fits() asks of an identity: the number of budget's kind for the largest key in a handshake, the
    bytes that signing takes beyond verifying, and the pieces of a connection, as of budget.table_row.
    of_clients: whether they have to show a certificate."""
    kind = max([kind_of(len(Certificate(der).public_key_info)) for der in chain])
    if of_clients:
        kind = max(kind, _RSA_2048)
    names, session, kinds, block = table_row()
    row = (names, session[_CONTEXT_PIECE:], {kind: (b"",) + kinds[kind][1:]}, block)
    return kind, len(key) * _SIGNING_FACTOR if len(key) >= _SMALLEST_RSA_KEY_BYTES else 0, row


def fits(context, serving, begun, hellos=0):
    """Whether one more session fits, and its handshake, beside `begun` others and so many ClientHellos on
    their way."""
    kind, signing, row = serving.needs
    chain = 0 if serving.trust is None else None
    more = signing + begun * _BEGUN_BYTES + min(hellos, _HELLOS) * _HELLO_BYTES
    return carries(kind, chain, context.reserve, more, row)


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
