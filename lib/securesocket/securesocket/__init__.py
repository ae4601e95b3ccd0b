"""TLS for MicroPython, verified by default. Names are loaded when they are first used; see help()."""

__version__ = "0.1.0"

# A line for each module: its name, that of the package that installs it without "securesocket-" ("-": this
# one), and the public names that it has. Of the modules only `errors` is a name of the package: inside,
# others are imported as `from .module import name`.
_PUBLIC = """socket - SecureSocket
stream - SecureStream
context - SecureContext
stores - default_store
errors - accept_weak_entropy
clock clock set_clock ClockError
guide explain help
server server SecureServerSocket
server_aio server start_server
server_context server ServerContext
pair server SecurePair
datagram dtls DtlsClient DtlsConnection DatagramError
datagram_server dtls DtlsServer"""


def __getattr__(name):
    import sys

    from certstore.errors import part

    known = globals()
    for line in _PUBLIC.split("\n"):
        row = line.split()
        if name in row[2:]:
            known[name] = getattr(part("securesocket." + row[0], "securesocket-" + row[1]), name)
            break
    else:
        # All else that begins with a capital is an error.
        if name == "errors" or "A" <= name[:1] <= "Z":
            errors = part("securesocket.errors", "securesocket")
            value = errors if name == "errors" else getattr(errors, name, None)
            if value is not None:
                known[name] = value
    if sys.implementation.name == "micropython":
        # Its tab completion asks for every word that it knows, and shows those that are there: no import may
        # leave its module behind. How many names there are tells whether one did.
        while len(known) != known.get("_count"):
            known["_count"] = 0
            for word in known:
                if word != "errors" and type(known[word]) is type(sys):
                    del known[word]
                    break
            else:
                known["_count"] = len(known)
    if name not in known:
        raise AttributeError(name)
    return known[name]


def __dir__():
    # CPython asks it.
    from certstore.errors import part

    return part("securesocket.guide").names(_PUBLIC)
