"""`make demo`: verified pages on MicroPython, then each failure that a user meets.

Real servers (`openssl s_server`) on loopback, the scripts of this folder on the MicroPython that was
built for this computer, and a store of Mozilla's roots with two of the demo's own. Exit status 1 if
anything comes out otherwise than expected. The word behind demo.py, if there is one, is the folder to
write to: build/demo by default.
"""

import contextlib
import datetime
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from rich.console import Console
from rich.table import Table
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
MICROPYTHON = ROOT / "build" / "unix" / "stock" / "micropython"
COMMAND = Path(sys.executable).with_name("securesocket")

PAGE = b"<!doctype html><title>A verified page</title><p>This came over TLS.</p>\n"
START_S = 10
SCRIPT_S = 60
# Where no terminal tells its width.
PLAIN_WIDTH = 100

DAY = datetime.timedelta(days=1)
# A root of Mozilla's whose name the impostor uses.
BORROWED = "ISRG Root X1"


# ---- what is shown


@dataclass(frozen=True)
class Case:
    """One call at MicroPython's prompt, and how it must come out.

    trust: None for the store in flash, "store" for the demo's, "root" for one root as trust=.
    expected: "N pages, anchor NAME", or the class of the error. clock: what the device believes.
    """

    title: str
    script: str
    server: str
    expected: str
    trust: str | None = None
    clock: str | None = None
    note: str = ""


PAGES = (
    Case("a page, EC chain", "https_get", "ec", "1 page, anchor Demo EC Root", "store"),
    Case("a page, RSA chain", "https_get", "rsa", "1 page, anchor Demo RSA Root", "store"),
    Case("two pages, asyncio", "https_get_asyncio", "ec", "2 pages, anchor Demo EC Root", "store"),
)

FAILURES = (
    Case(
        "unknown issuer",
        "failures",
        "ec",
        "UnknownIssuer",
        note="The same server, against the store in flash: Mozilla's roots, and not the demo's.",
    ),
    Case(
        "root not in the store",
        "failures",
        "impostor",
        "UnknownIssuer",
        "root",
        note=f"One root is trusted; the server names another, {BORROWED}.",
    ),
    Case(
        "forged issuer",
        "failures",
        "impostor",
        "BadSignature",
        note=f"The store in flash has {BORROWED}, but its key did not sign this.",
    ),
    Case("expired", "failures", "expired", "Expired", "store"),
    Case("wrong host name", "failures", "elsewhere", "HostnameMismatch", "store"),
    Case(
        "clock in 2000",
        "failures",
        "ec",
        "ClockNotSet",
        "store",
        clock="2000-01-01 00:00:30",
        note="As a board has it that was never told the time. It does not connect.",
    ),
)


@dataclass
class Result:
    case: Case
    got: str
    ms: float

    @property
    def ok(self):
        return self.got == self.case.expected


def judge(case, status, output, ms):
    """A Result from a script's exit status and what it printed.

    Whatever hints at an accepted connection counts before any error does.
    """
    pages = re.findall(r"^HTTP/1\.\d 200 .*", output, re.M)
    anchors = sorted(set(re.findall(r"^anchor +CN=(.*?)(?:,.*)? \(from the store\)$", output, re.M)))
    error = re.search(r"^([A-Z]\w+): .*\ncode: [a-z0-9-]+$", output, re.M)
    if pages:
        got = f"{len(pages)} page{'s' * (len(pages) > 1)}, anchor {' and '.join(anchors) or 'none'}"
    elif re.search(r"\baccepted\b", output):
        got = "ACCEPTED"
    elif error:
        got = error[1]
    else:
        got = "no answer"
    if status != 0:
        got += f", exit status {status}"
    return Result(case, got, ms)


# ---- certificates


@dataclass
class Authority:
    """A certificate and its key, with those above it."""

    certificate: x509.Certificate
    key: object
    above: tuple = ()

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def new_key(kind):
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def issue(name, kind, issuer=None, host=None, days=(-1, 30), subject=None, ski=None):
    """A certificate for `name`: a CA, or for `host` a server's; of its own key where issuer is None."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    key = new_key(kind)
    if subject is None:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    if ski is None:
        ski = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        .add_extension(ski, critical=False)
    )
    if issuer:
        theirs = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        aki = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(theirs)
        builder = builder.add_extension(aki, critical=False)
    if host:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    signed = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return Authority(signed, key, (issuer, *issuer.above) if issuer else ())


def impostor():
    """A CA with the name and the key identifier of one of Mozilla's roots, and a key of its own."""
    behind = Path(certifi.where()).read_bytes().partition(f'# Label: "{BORROWED}"'.encode())[2]
    genuine = x509.load_pem_x509_certificate(behind)
    ski = genuine.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return issue(BORROWED, "ec", subject=genuine.subject, ski=ski)


def make_chains():
    """({kind: root}, {server: leaf}) of the demo."""
    roots, servers = {}, {}
    for kind in ("ec", "rsa"):
        roots[kind] = issue(f"Demo {kind.upper()} Root", kind)
        intermediate = issue(f"Demo {kind.upper()} Intermediate", kind, roots[kind])
        servers[kind] = issue("localhost", kind, intermediate, "localhost")
    intermediate = servers["ec"].above[0]
    servers["expired"] = issue("localhost", "ec", intermediate, "localhost", days=(-30, -2))
    servers["elsewhere"] = issue("other.example", "ec", intermediate, "other.example")
    servers["impostor"] = issue("localhost", "ec", impostor(), "localhost")
    return roots, servers


# ---- the parts that run


@contextlib.contextmanager
def server(folder, name, leaf):
    """`openssl s_server` on a free port of loopback, which it yields; ended at the end."""
    home = folder / name
    site = home / "site"
    site.mkdir(parents=True)
    head = f"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}\r\n\r\n"
    (site / "page").write_bytes(head.encode() + PAGE)
    (home / "leaf.pem").write_bytes(leaf.pem)
    # What a server sends: itself and those between. The root stays at home.
    (home / "between.pem").write_bytes(b"".join(ca.pem for ca in leaf.above[:-1]))
    (home / "key.pem").write_bytes(
        leaf.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    words = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-HTTP", "-cert", home / "leaf.pem"]
    words += ["-key", home / "key.pem"]
    if len(leaf.above) > 1:
        words += ["-cert_chain", home / "between.pem"]
    log = home / "log"
    with open(log, "wb") as out:
        # In a session of its own: Ctrl-C is for us, and we end it.
        process = subprocess.Popen(
            words, cwd=site, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield port_of(process, log)
    finally:
        process.kill()
        process.wait()


def port_of(process, log):
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r"ACCEPT \S*:(\d+)", log.read_text())
        if found:
            return int(found[1])
        time.sleep(0.01)
    sys.exit(f"demo: openssl s_server did not start:\n{log.read_text()}")


def shown(path):
    """A path as a person types it in the checkout."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def build_store(console, folder, roots):
    """The store, by the command that users have."""
    own = folder / "demo-roots.pem"
    own.write_bytes(b"".join(root.pem for root in roots.values()))
    (folder / "demo-ec-root.pem").write_bytes(roots["ec"].pem)
    words = ["store", "build", "--add", shown(own), "--out", shown(folder / "roots.bin")]
    said(console, "$ " + " ".join(["securesocket", *words]), "green")
    run = subprocess.run([COMMAND, *words], cwd=ROOT, capture_output=True, text=True)
    said(console, run.stdout + run.stderr)
    if run.returncode:
        sys.exit(f"demo: securesocket ended with status {run.returncode}")


def call_of(case, port, folder):
    """(imports, what makes the trust set, the call) as a user types them at MicroPython's prompt."""
    imports = [f"import {case.script}"]
    trust = None
    arguments = ["'localhost'", str(port)]
    if case.script == "https_get":
        arguments.append("'/page'")
    elif case.script == "https_get_asyncio":
        imports.append("import asyncio")
        arguments.append("['/page'] * 2")
    if case.trust == "store":
        imports.append("from certstore.store import CertStore")
        trust = f"store = CertStore({shown(folder / 'roots.bin')!r})"
    elif case.trust == "root":
        trust = f"root = open({shown(folder / 'demo-ec-root.pem')!r}).read()"
    if case.trust:
        arguments.append(f"{{'trust': {case.trust}}}")
    call = f"{case.script}.main({', '.join(arguments)})"
    return imports, trust, f"asyncio.run({call})" if case.script.endswith("asyncio") else call


def run_case(console, case, port, folder):
    imports, trust, call = call_of(case, port, folder)
    words = [str(MICROPYTHON), "-c", "\n".join([*imports, trust or "", call])]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MICROPY")}
    # As on a board: the frozen modules, then the files beside.
    env["MICROPYPATH"] = f".frozen:{EXAMPLES}"
    if case.clock:
        words = ["faketime", "-f", case.clock, *words]
        env["TZ"] = "UTC"
    heading(console, case.title)
    if case.note:
        said(console, case.note, "italic")
    if trust:
        said(console, ">>> " + trust, "green")
    said(console, ">>> " + call, "green")
    started = time.monotonic()
    try:
        run = subprocess.run(
            words, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=SCRIPT_S,
        )  # fmt: skip
        status, output = run.returncode, run.stdout
    except subprocess.TimeoutExpired as error:
        status, output = -1, (error.stdout or b"").decode(errors="replace")
    said(console, output)
    return judge(case, status, output, (time.monotonic() - started) * 1000)


# ---- what is printed


def make_console():
    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def chapter(console, text):
    console.print()
    if console.is_terminal:
        console.rule(Text(text, style="bold"), align="left")
    else:
        console.print(f"== {text}")


def heading(console, text):
    console.print()
    console.print(Text(text, style="bold cyan"))


def said(console, text, style=""):
    for line in text.splitlines():
        for piece in textwrap.wrap(line, console.width - 4, break_long_words=False, break_on_hyphens=False):
            console.print(Text("  " + piece, style=style), soft_wrap=True)


def summary(console, results, seconds):
    chapter(console, "Summary")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("what", "expected", "got", "ms", ""):
        table.add_column(column, justify="right" if column == "ms" else "left", no_wrap=True)
    for result in results:
        mark = Text("ok", style="green") if result.ok else Text("WRONG", style="bold red")
        table.add_row(result.case.title, result.case.expected, result.got, f"{result.ms:.0f}", mark)
    console.print(table)
    wrong = sum(not result.ok for result in results)
    console.print()
    console.print("ms: the whole script, with MicroPython's start and end", style="italic")
    verdict = f"{wrong} of {len(results)} are WRONG" if wrong else f"all {len(results)} as expected"
    console.print(Text(f"{verdict}, in {seconds:.1f} s", style="bold red" if wrong else "bold green"))


def exit_status(results):
    """0 only if there are results, and all are as expected."""
    return 0 if results and all(result.ok for result in results) else 1


def main(folder=ROOT / "build" / "demo"):
    if not MICROPYTHON.exists():
        sys.exit(f"demo: {shown(MICROPYTHON)} is missing; `make demo` builds it")
    console = make_console()
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    with contextlib.ExitStack() as stack:
        # The private keys live here, and only as long as the demo runs.
        secret = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="securesocket-demo-")))
        chapter(console, "A store: Mozilla's roots and two of the demo's own")
        roots, leaves = make_chains()
        build_store(console, folder, roots)
        ports = {name: stack.enter_context(server(secret, name, leaf)) for name, leaf in leaves.items()}
        for title, cases in (("Verified pages", PAGES), ("Refused, and why", FAILURES)):
            chapter(console, title)
            results += [run_case(console, case, ports[case.server], folder) for case in cases]
    summary(console, results, time.monotonic() - started)
    return exit_status(results)


def _interrupt(number, frame):
    raise KeyboardInterrupt


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        sys.exit(main(*map(Path, sys.argv[1:2])))
    except KeyboardInterrupt:
        sys.exit("demo: interrupted")
