"""What a REPL shows and advises: help(), how a connection looks, what to type instead of what was typed."""

import gc
import sys

from certstore.compat import const, unix_time
from certstore.dates import text
from certstore.errors import SecureSocketError

# A terminal has 80 columns, and wraps what reaches the last.
_COLUMNS = const(79)

_JOBS = """
Connect
  s = securesocket.SecureSocket("example.com", 443)
  s.write(b"GET / HTTP/1.0\\r\\nHost: example.com\\r\\n\\r\\n"); s.readline()
  print(s.report)                  # what was verified, and how long it took
Choose whom to trust
  securesocket.SecureSocket(host, port, {"trust": open("ca.pem").read()})
  securesocket.default_store().add(open("ca.pem").read())
Set the clock, after each start
  securesocket.set_clock()         # or set_clock((2026, 12, 31, 23, 59, 0))
An error says what was found, what was expected, and what to type
"""

_PORTS = (("https://", 443), ("wss://", 443), ("mqtts://", 8883))


def help():
    """Print what to type for the main jobs, and what there is on this device."""
    from . import __version__

    print("securesocket %s: TLS, verified by default\n%s\nThis device" % (__version__, _JOBS.rstrip()))
    for label, tell in (
        ("engine", _engine),
        ("store", _store),
        ("clock", _clock),
        ("random", _random),
        ("heap", _heap),
    ):
        try:
            told = tell()
        except SecureSocketError as error:
            told = str(error)
        except ImportError as error:
            told = "none: %s" % error
        for line in _wrapped(told, _COLUMNS - 10):
            print("  %-7s %s" % (label, line))
            label = ""


def _wrapped(words, columns):
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > columns:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def _engine():
    from .engine import engine

    name = engine.__name__.split(".")[-1]
    version = ".".join(str(part) for part in sys.implementation[1][:3])
    return "%s: tls of MicroPython %s, %s, TLS 1.2" % (name, version, engine.tls.MBEDTLS_VERSION)


def _store():
    from certstore.show import describe

    from .stores import trusted

    # What this device trusts without a file is a frozen module.
    return describe(trusted()).replace("in memory", "frozen")


def _clock():
    from .clock import floor

    now = unix_time()
    if now < floor():
        return "not set (%s): securesocket.set_clock()" % text(now)
    return text(now)


def _random():
    from certstore import entropy

    entropy.check()
    return "weak or not tried: accept_weak_entropy()" if entropy.is_weak_accepted else "works"


def _heap():
    gc.collect()
    if not hasattr(gc, "mem_free"):
        return "as much as there is"
    return "%d bytes free; a connection needs about 35000, and keeps 28000" % gc.mem_free()


def describe(stream):
    """The repr of a SecureStream."""
    where = str(stream._hostname)
    address = getattr(stream, "remote_address", None)
    if address is not None:
        where += ":%d" % address[1]
    error = stream._error
    state = stream.stage
    if error is not None:
        state = "closed" if error.code == "closed" else "failed: " + error.code
    elif stream.cipher() is not None:
        state += ", %s, %s" % ("verified" if stream.authorized else "NOT verified", stream.cipher()[0])
    return "<%s %s %s>" % (type(stream).__name__, where, state)


def describe_context(context):
    """The repr of a SecureContext."""
    if not context.verify:
        return "<SecureContext verification off>"
    return "<SecureContext %s%s%s>" % (
        "pins only" if context._sources is None else "verified",
        ", %d pins" % len(context.pins) if context.pins else "",
        ", with identity" if context.identity else "",
    )


def no_address(host, port):
    """The error for a host and a port that cannot be: its remedy is the call that may have been meant."""
    from .errors import ConfigurationError

    name = str(host, "utf-8") if isinstance(host, bytes) else host if isinstance(host, str) else ""
    guess = 443
    for scheme, number in _PORTS:
        if name.startswith(scheme):
            guess = number
    # Without scheme, path, and what may be a password.
    name = name[name.find("://") + 3 :] if "://" in name else name
    name = name.split("/")[0].split("@")[-1]
    if name.count(":") == 1:
        name, _, number = name.partition(":")
        guess = int(number) if number.isdigit() else guess
    if isinstance(port, str) and port.isdigit():
        guess = int(port)
    elif type(port) is int and 0 < port < 0x10000:
        guess = port
    shown = "a %s" % type(host).__name__ if not isinstance(host, str) or "@" in host else repr(host)
    return ConfigurationError(
        "address",
        found="host %s, port %r" % ("none" if host is None else shown, port),
        remedy='SecureSocket("%s", %d)' % (name or "example.com", guess),
    )


def no_options(secure):
    """The error for options that are neither a dictionary nor a context."""
    from .errors import ConfigurationError

    return ConfigurationError(
        "option-value",
        found="secure=<%s>" % type(secure).__name__,
        expected="a dict of options, a SecureContext",
    )


def names(public):
    """All names of the package; public: its lines of those that are loaded late."""
    from . import errors

    late = [name for line in public.split("\n") for name in line.split()[2:]]
    return ["__version__", "errors"] + late + [name for name in dir(errors) if "A" <= name[0] <= "Z"]
