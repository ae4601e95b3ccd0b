"""TLS for MicroPython, verified by default. Names are loaded when they are first used; see help()."""

__version__ = "0.1.0"

# (module, the public names that it has). Of the modules only `errors` is a name of the package: inside,
# others are imported as `from .module import name`.
_PUBLIC = (
    ("securesocket.socket", ("SecureSocket",)),
    ("securesocket.stream", ("SecureStream",)),
    ("securesocket.context", ("SecureContext",)),
    ("securesocket.stores", ("default_store",)),
    ("securesocket.clock", ("set_clock",)),
    ("securesocket.guide", ("help",)),
    ("certstore.entropy", ("accept_weak_entropy",)),
    (
        "securesocket.errors",
        (
            "errors",
            "BadPassword",
            "BadSignature",
            "CertificateError",
            "ClockError",
            "ClockNotSet",
            "ConfigurationError",
            "CorruptStore",
            "EntropyError",
            "Expired",
            "FormatError",
            "HandshakeError",
            "HandshakeTimeout",
            "HostnameMismatch",
            "MemoryBudgetError",
            "NotFound",
            "NotYetValid",
            "PinMismatch",
            "SecureSocketError",
            "StoreError",
            "UnknownIssuer",
            "UnsupportedFeature",
            "WeakKey",
        ),
    ),
)


def __getattr__(name):
    import sys

    known = globals()
    for module, names in _PUBLIC:
        if name in names:
            __import__(module)
            loaded = sys.modules[module]
            known[name] = loaded if name == "errors" else getattr(loaded, name)
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
    return ["__version__"] + [name for _, names in _PUBLIC for name in names]
