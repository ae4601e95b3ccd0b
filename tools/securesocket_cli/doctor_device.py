"""The device's part of `securesocket doctor`: what it has, told fact by fact; nothing is judged here.

A fact that cannot be had is told as a fault, and the next one is asked: what is missing is looked for here.
"""

import pathlib

from . import packages

_COMMON = """\
import gc, sys
def fault(error):
    parts = {"class": type(error).__name__, "code": getattr(error, "code", None)}
    for name in ("sentence", "found", "expected", "remedy"):
        value = getattr(error, name, None)
        parts[name] = None if value is None else str(value)
    if parts["sentence"] is None:
        parts["sentence"] = str(error)
    return parts
def ask(name, function, *args):
    try:
        tell("fact", name, function(*args))
        return True
    except Exception as error:
        # At most a line of it may fit.
        gc.collect()
        tell("fault", name, fault(error))
def module(name):
    top = __import__(name)
    # One of C may not be in sys.modules.
    return sys.modules[name] if "." in name else top
def text(value):
    return None if value is None else str(value)
"""

# PARTS: (package, module) each, is given in front. Heaps are asked before there is anything of ours on them.
SURVEY = (
    _COMMON
    + """\
def version():
    return sys.implementation[1][:3], getattr(sys.implementation, "_machine", sys.platform), sys.platform
def mbedtls():
    return getattr(module("tls"), "MBEDTLS_VERSION", None)
def heap():
    gc.collect()
    return gc.mem_free(), gc.mem_free() + gc.mem_alloc()
def c_heap():
    import esp32
    regions = esp32.idf_heap_info(esp32.HEAP_DATA)
    largest = max([one[2] for one in regions])
    return sum([one[1] for one in regions]), largest, sum([one[3] for one in regions])
def clock():
    import time
    return int(time.time()) + (946684800 if time.gmtime(0)[0] == 2000 else 0)
def where(name):
    file = getattr(module(name), "__file__", "")
    import os
    try:
        os.stat(file)
    except OSError:
        return "the firmware"
    return file
def part(name):
    before = set(sys.modules)
    try:
        return bool(module(name))
    finally:
        for loaded in set(sys.modules) - before:
            del sys.modules[loaded]
        gc.collect()
def engine():
    found = module("securesocket.engine").engine
    return found.__name__.split(".")[-1], list(found.FEATURES)
def budget():
    found = module("securesocket.budget")
    made = found.estimate()
    told = [getattr(made, name) for name in ("needed", "largest_needed", "free", "largest_block", "fits")]
    return found.heap(), told
def fitting():
    return module("securesocket.budget").handshakes_that_fit()
def store():
    found = module("securesocket.stores").trusted()
    base = getattr(found, "base", found)
    changes = getattr(found, "changes", None)
    return {"path": base.path, "bytes": base.size, "build_time": found.build_time,
        "count": sum([1 for _ in found.numbers()]), "identities": base.identity_count,
        "changes": None if changes is None else (changes.path, len(changes))}
def whole():
    module("securesocket.stores").trusted().verify()
    return True
def roots():
    found = module("securesocket.stores").trusted()
    read = module("certstore.certificate").Certificate
    one = bytearray(found.largest)
    ends = [(read(found.certificate(number, one)).not_after, number) for number in found.numbers()]
    ends.sort()
    show = module("certstore.names").format_name
    listed = [(end, show(read(found.certificate(number, one)).subject)) for end, number in ends[:LISTED]]
    return listed, [end for end, _ in ends]
def entropy():
    found = module("certstore.entropy")
    found.check()
    return "accepted" if found.is_weak_accepted else "works"
def link(kind, one):
    row = [kind, None, one.isconnected(), text(one.ifconfig()[0]), None]
    if kind == "WLAN":
        row[1] = one.active()
        try:
            row[4] = one.status("rssi")
        except (OSError, ValueError, TypeError):  # not connected, or a port that does not tell
            pass
    return row
def network():
    try:
        import network
    except ImportError:
        return None
    found = []
    if hasattr(network, "WLAN"):
        found.append(link("WLAN", network.WLAN(getattr(network, "STA_IF", 0))))
    # Others have no name to be asked by: those that a module, or boot.py, has kept.
    kinds = [(name, getattr(network, name, None)) for name in ("LAN", "PPP", "WIZNET5K")]
    kinds = [(name, kind) for name, kind in kinds if isinstance(kind, type)]
    for space in [one.__dict__ for one in sys.modules.values() if hasattr(one, "__dict__")] + [globals()]:
        for value in list(space.values()):
            for name, kind in kinds:
                if isinstance(value, kind):
                    row = link(name, value)
                    if row not in found:
                        found.append(row)
    return found
ask("heap", heap)
ask("micropython", version)
ask("mbedtls", mbedtls)
if sys.platform == "esp32":
    ask("c_heap", c_heap)
ask("clock", clock)
if ask("where", where, "securesocket"):
    ask("version", lambda: module("securesocket").__version__)
    # Before more is loaded.
    ask("engine", engine)
    ask("budget", budget)
    ask("fitting", fitting)
    if ask("store", store) and ask("whole", whole):
        ask("roots", roots)
    ask("entropy", entropy)
ask("network", network)
for name, tried in PARTS if "securesocket" in sys.modules else ():
    # Last: what they leave on the heap is in nobody's way.
    ask("part " + name, part, tried)
tell("end")
"""
)

# HOST, PORT, TIMEOUT_MS are given in front.
CONNECT = (
    _COMMON
    + """\
import socket, time
def since(start):
    return time.ticks_diff(time.ticks_ms(), start)
def resolve():
    start = time.ticks_ms()
    found = socket.getaddrinfo(HOST, PORT, 0, socket.SOCK_STREAM)
    addresses.extend(found)
    return since(start), len(found)
def connect():
    failure = None
    for info in addresses:
        one = socket.socket(info[0], socket.SOCK_STREAM)
        start = time.ticks_ms()
        try:
            if hasattr(one, "settimeout"):
                one.settimeout(TIMEOUT_MS / 1000)
            one.connect(info[-1])
            return since(start)
        except OSError as error:
            failure = error
        finally:
            one.close()
    raise failure
def handshake():
    stream = module("securesocket.socket").SecureSocket(HOST, PORT, None, TIMEOUT_MS)
    took = stream.handshake_ms
    try:
        report = module("securesocket.report").Report(stream)
    except ImportError:
        report = None
    stream.close()
    names = "cipher version chain anchor anchor_source heap_before heap_lowest heap_after"
    return took, {name: getattr(report, name, None) for name in names.split()}
addresses = []
if ask("dns", resolve) and ask("tcp", connect):
    ask("handshake", handshake)
tell("end")
"""
)

# Roots whose names are told: those that end first.
LISTED = 3


def parts():
    """((package, a module that it alone has), ...): the smallest, since it is loaded to see that it is there.
    () where there is no checkout to know them from."""
    found = []
    for name in packages.names():
        own = packages.read(name).files
        modules = {to: source for to, source in own.items() if not to.endswith("__init__.py")}
        if modules:
            smallest = min(modules, key=lambda to: modules[to].stat().st_size)
            found.append((name, str(pathlib.PurePosixPath(smallest).with_suffix("")).replace("/", ".")))
    return tuple(found)
