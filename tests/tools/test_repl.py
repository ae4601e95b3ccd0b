"""The REPL as its user sees it: MicroPython's own, on a terminal, with the Tab key."""

import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

from plugins.interpreters import BUILDS, HOST_PATHS, binary, environment
from plugins.terminal import readable

TAB = "\t"
FIRST = ("accept_weak_entropy", "default_store", "errors", "help", "set_clock", "start_server")
CLASSES = ("SecureContext", "SecureServerSocket", "SecureSocket", "SecureStream")


def error_names():
    """The error classes that are names of the package."""
    script = (
        "import securesocket\n"
        "print(*[n for n in securesocket.__dir__() if n[0].isupper() and not n.startswith('SecureS')"
        " and n != 'SecureContext'], 'SecureSocketError')"
    )
    path = os.pathsep.join(map(str, HOST_PATHS))
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


class Repl:
    """The REPL of a build in a terminal of 80 columns and 24 lines."""

    def __init__(self, build, folder):
        words = [str(binary(build)), "-X", "heapsize=2M"]
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(words[0], words, environment() | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"})
        self.text = ""
        self.until(">>> ")

    def until(self, end, timeout_s=30):
        """What comes up to `end`, which the output ends with."""
        start = time.monotonic()
        while not self.text.endswith(end):
            left = timeout_s - (time.monotonic() - start)
            assert readable(self.terminal, left), f"no {end!r} after {timeout_s} s: {self.text!r}"
            self.text += os.read(self.terminal, 65536).decode()
        found, self.text = self.text, ""
        return found.replace("\r\n", "\n")

    def type(self, keys):
        os.write(self.terminal, keys.encode())

    def line(self, text):
        """What a line prints."""
        self.type(text + "\r")
        return self.until("\n>>> ").partition("\n")[2].rpartition(">>> ")[0]

    def complete(self, text):
        """The words that Tab shows behind `text`; the line is deleted again."""
        self.type(text)
        self.until(text)
        self.type(TAB)
        shown = self.until(text)
        self.type("\x03")
        self.until(">>> ")
        return shown.rpartition("\n")[0].removeprefix(">>> ").split()

    def finish(self, text):
        """What Tab makes of a word that only one is left for; the line is deleted again."""
        self.type(text)
        self.until(text)
        self.type(TAB + "#")
        shown = self.until("#")
        self.type("\x03")
        self.until(">>> ")
        return text + shown[:-1]

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


@pytest.fixture(params=BUILDS)
def repl(request, tmp_path):
    started = Repl(request.param, tmp_path)
    yield started
    started.close()


def public():
    return {*FIRST, *CLASSES, *error_names()}


def shown(words):
    """Without names that begin with an underscore, which MicroPython 1.25 shows too."""
    return {word for word in words if not word.startswith("_")}


def test_tab_shows_the_public_names_and_no_others(repl):
    repl.line("import securesocket")
    assert shown(repl.complete("securesocket.")) == public()
    # Nor after everything was used, which loads modules of the package behind its back.
    assert "ConfigurationError" in repl.line('securesocket.SecureSocket("host")')
    repl.line("import securesocket.verdict, securesocket.report, securesocket.identity, securesocket.path")
    assert shown(repl.complete("securesocket.")) == public()
    assert repl.finish("securesocket.set") == "securesocket.set_clock"
    assert set(repl.complete("securesocket.SecureS")) == {
        "SecureServerSocket",
        "SecureSocket",
        "SecureSocketError",
        "SecureStream",
    }
    assert repl.finish("securesocket.ver") == "securesocket.ver"


def test_tab_costs_no_more_than_the_names_that_it_shows(repl):
    """A word that is no name of the package makes no import: it would be looked for in every folder, and
    stay in memory as text."""
    heap = "print((gc.collect(), gc.collect(), gc.mem_alloc())[2])"
    repl.line("import gc, securesocket")
    before = int(repl.line(heap))
    for name in public():
        repl.line(f"securesocket.{name} and None")
    loaded = int(repl.line(heap))
    repl.complete("securesocket.")
    # The line that was typed, and the history's.
    assert int(repl.line(heap)) - loaded < 3000
    # With servers and datagrams, where pointers have 8 bytes.
    assert loaded - before < 90_000


def test_tab_loads_only_what_the_prefix_may_mean(repl):
    repl.line("import sys, securesocket")
    repl.finish("securesocket.set_c")
    loaded = repl.line("print(sorted(m for m in sys.modules if m.startswith('securesocket.')))")
    assert loaded.split() == ["['securesocket.clock']"]


def test_tab_on_objects_shows_what_is_public(repl):
    repl.line("from securesocket import SecureContext, SecureSocket, default_store")
    repl.line("c = SecureContext()")
    words = set(repl.complete("c."))
    assert {"check", "wrap_socket", "trust", "pins"} <= words
    repl.line("d = default_store()")
    assert {"add", "remove", "unlock", "numbers", "path"} <= set(repl.complete("d."))
    assert {"open", "wrap", "report", "read", "close"} <= set(repl.complete("SecureSocket."))


def test_help_fits_a_terminal_and_is_true(repl):
    text = repl.line("import securesocket; securesocket.help()")
    lines = text.splitlines()
    # With the line that was typed and the prompt, all of it is in sight.
    assert len(lines) <= 22 and max(map(len, lines)) < 80, text
    assert re.search(r"engine +stock: tls of MicroPython 1\.2\d\.\d, Mbed TLS 3\.6\.\d, TLS 1\.2", text)
    assert re.search(r"store +117 certificates, built 2026-10-18 00:00:00 UTC, frozen\n", text)
    assert re.search(r"clock +20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", text)
    assert re.search(r"random +works\n", text)
    assert 500_000 < int(re.search(r"heap +(\d+) bytes free", text)[1]) < 2_100_000


def test_help_says_what_is_missing(repl, tmp_path):
    # A damaged store; a clock of 2000; a random source that stands still. Each is said, and the rest too.
    (tmp_path / "roots.bin").write_bytes(b"no store")
    repl.line("import securesocket, securesocket.guide, certstore.entropy as entropy")
    repl.line("import sys; sys.modules['securesocket.guide'].unix_time = lambda: 946684800")
    repl.line("entropy.os = type('os', (), {'urandom': lambda size: bytes(size)})")
    text = repl.line("securesocket.help()")
    joined = " ".join(text.split())
    assert "this is not a certificate store" in joined or "shorter or longer" in joined
    assert "random source does not work" in joined and "heap" in joined
    assert max(map(len, text.splitlines())) < 80, text
    (tmp_path / "roots.bin").unlink()
    text = repl.line("securesocket.help()")
    assert "not set (2000-01-01 00:00:00 UTC): securesocket.set_clock()" in text
    repl.line("securesocket.accept_weak_entropy()")
    assert "accept_weak_entropy()" in repl.line("securesocket.help()").splitlines()[-2]


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        ('SecureSocket("example.com")', 'SecureSocket("example.com", 443)'),
        ("SecureSocket()", 'SecureSocket("example.com", 443)'),
        ('SecureSocket("https://example.com/page")', 'SecureSocket("example.com", 443)'),
        ('SecureSocket("mqtts://broker")', 'SecureSocket("broker", 8883)'),
        ('SecureSocket("broker:8883")', 'SecureSocket("broker", 8883)'),
        ('SecureSocket("https://example.com:8443/", 443)', 'SecureSocket("example.com", 443)'),
        ('SecureSocket("example.com", "8443")', 'SecureSocket("example.com", 8443)'),
        ('SecureSocket(b"example.com", 443)', 'SecureSocket("example.com", 443)'),
        ('SecureSocket("example.com", 70000)', 'SecureSocket("example.com", 443)'),
        ('SecureSocket("name.invalid", 443)', "network.WLAN().isconnected()"),
        ('SecureSocket("example.com", 443, 5000)', "a dict of options"),
        ("securesocket.set_clock((2026, 1, 1))", "time.gmtime()"),
    ],
)
def test_what_is_typed_wrong_is_answered_with_what_to_type(typed, advice, tmp_path):
    repl = Repl("stock", tmp_path)
    try:
        repl.line("import securesocket; from securesocket import SecureSocket")
        last = repl.line(typed).strip().splitlines()[-1]
        assert advice in last and "Error: " in last, last
    finally:
        repl.close()


def test_a_password_in_an_address_is_not_repeated(tmp_path):
    repl = Repl("stock", tmp_path)
    try:
        repl.line("from securesocket import SecureSocket")
        printed = repl.line('SecureSocket("https://me:hunter2@example.com/")')
        assert 'SecureSocket("example.com", 443)' in printed and "hunter2" not in printed
    finally:
        repl.close()


def test_reprs(repl):
    repl.line("import securesocket; d = securesocket.default_store()")
    facts = "117 certificates, built 2026-10-18 00:00:00 UTC, in memory"
    assert repl.line("d") == f"<LayeredStore {facts}>\n"
    assert repl.line("d.base") == f"<CertStore {facts}>\n"
    repl.line("from certstore.certificate import Certificate; n = next(d.numbers())")
    assert re.fullmatch(
        r"<Certificate .+, until 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC>\n",
        repl.line("Certificate(d.certificate(n))"),
    )
    repl.line("d.remove(bytes(d.ski(n)))")
    changed = facts.replace("117", "116") + ", changes in roots-changes.bin"
    assert repl.line("d") == f"<LayeredStore {changed}>\n"
    repl.line("d.changes.close()")
    assert "cannot be read" in repl.line("d")


def test_cpython_lists_the_public_names_too():
    script = "import securesocket; print(*dir(securesocket))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, HOST_PATHS))}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {*public(), "__version__"}
