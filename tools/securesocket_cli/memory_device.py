"""The device's part of `securesocket memory`: one traced connection, told when it is over."""

# Events that are kept; a handshake has about 20.
LIMIT = 250

# HOST, PORT, ROOTS (DER, or None), STORE (a path, or None), ANYWAY are given in front. What is kept is told
# at the end: printing would take heap in the middle of the handshake.
CONNECT = (
    f"LIMIT = {LIMIT}\n"
    + """\
import gc, sys
class Kept:
    def __init__(self):
        self.events = [None] * LIMIT
        self.count = 0
    def __call__(self, event):
        if self.count < LIMIT:
            self.events[self.count] = event
        self.count += 1
def attributes(thing, names):
    told = {name: getattr(thing, name, None) for name in names.split()}
    # Of a C heap that tells nothing the budget says -1.
    return {name: None if told[name] == -1 else told[name] for name in told}
def failure(error):
    code = str(getattr(error, "code", "exception"))
    return {"class": type(error).__name__, "code": code, "text": str(error)}
def module(name):
    try:
        __import__(name)
        return sys.modules[name]
    except ImportError as error:
        if "securesocket" not in str(error):
            raise
def missing():
    for name in ("securesocket.socket", "securesocket.trace"):
        if module(name) is None:
            tell("missing", name)
            return True
def versions():
    machine = getattr(sys.implementation, "_machine", sys.platform)
    version = ".".join([str(part) for part in sys.implementation[1][:3]])
    from securesocket.engine import engine
    major = engine.version() if hasattr(engine, "version") else (0, 0, 0)
    tell("fact", "machine", machine)
    tell("fact", "micropython", version)
    tell("fact", "mbedtls", ".".join([str(part) for part in major]))
    tell("fact", "engine", engine.__name__.split(".")[-1])
def heap(kind):
    if kind == "C":
        import esp32
        regions = esp32.idf_heap_info(esp32.HEAP_DATA)
        return sum([one[1] for one in regions]), sum([one[0] for one in regions])
    return gc.mem_free(), gc.mem_free() + gc.mem_alloc()
def options(kept):
    secure = {"trace": kept}
    if ANYWAY:
        secure["budget"] = None
    if ROOTS is not None:
        secure["trust"] = ROOTS
    if STORE is not None:
        from certstore.store import CertStore
        secure["trust"] = CertStore(STORE)
    return secure
def main():
    from securesocket import SecureContext, SecureSocket
    # Without these two less is told.
    budget, report = module("securesocket.budget"), module("securesocket.report")
    kept = Kept()
    kind = "MicroPython"
    stream = estimate = error = size = None
    try:
        context = SecureContext(**options(kept))
        gc.collect()
        if budget:
            estimate = budget.estimate(HOST, context)
            kind = budget.heap()
            gc.collect()
        size = heap(kind)
        mark = globals().get("MARK")
        mark and mark.on()
        try:
            stream = SecureSocket(HOST, PORT, context)
        finally:
            mark and mark.off()
    except Exception as raised:
        error = raised
    versions()
    tell("fact", "heap", kind)
    if size:
        tell("fact", "heap_free", size[0])
        tell("fact", "heap_bytes", size[1])
    if estimate is not None:
        names = "needed largest_needed free largest_block fits reserve key"
        tell("fact", "budget", attributes(estimate, names))
    if error is not None:
        tell("fact", "error", failure(error))
        limits = attributes(error, "needed free largest_block")
        if estimate is None and limits["needed"] is not None:
            tell("fact", "budget", limits)
    elif report:
        tell("fact", "report", attributes(stream.report, "handshake_ms verify_ms heap_before heap_lowest "
            "heap_after bytes_received bytes_sent largest_record chain anchor anchor_source cipher version"))
    if stream is not None:
        stream.close()
    for event in kept.events[:kept.count]:
        tell("event", event)
    tell("events", kept.count)
if not missing():
    main()
tell("end")
"""
)
