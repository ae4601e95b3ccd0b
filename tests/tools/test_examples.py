"""`make example NAME=…`: each runs to its end by itself, and fails if something did not happen."""

import importlib
import os
import re
import signal
import subprocess
import sys

import pytest

from plugins.interpreters import ROOT

EXAMPLES = ROOT / "examples"
RUN_S = 120
MAX_DEVICE_LINES = 60

pytestmark = pytest.mark.xdist_group("examples")

# What each says, besides "all as expected", which stands for all that its script waits for.
SAYS = {
    "echo": (
        "client | verified: CN=Echo CA",
        "client | sent 'three', got 'three'",
        "server | closed: 14 bytes, the client hung up",
        "openssl | Verification: OK",
        "server | closed: 20 bytes, the client said goodbye",
        "stranger | UnknownIssuer: no trust anchor issued this certificate",
        "server | refused: HandshakeError: the peer does not speak TLS",
    ),
    "chat": (
        'roots.bin: identity "dartcert"',
        "private key encrypted",
        "anna | * carla has joined",
        "carla | anna: is anybody there?",
        "anna | bruno: I am",
        "bruno | carla: me too",
        "carla | * bruno has left",
        "anna | * carla was lost",
    ),
    "mutual": (
        "open: asked for north.example, authorized True, certificate CN=north-client",
        "open: asked for south.example, authorized True, certificate CN=south-client",
        "refused: UnknownIssuer, unknown-issuer: ",
        "refused: CertificateError, client-certificate: ",
        "openssl | 421 nobody of this name here",
    ),
    "coap": (
        "client | verified: CN=CoAP CA",
        "client | answer 2.05: ",
        "coap-client | hello, CN=sensor",
        "coap-client | 4.04",
        "server | closed: CN=sensor",
        "stranger | HandshakeError: the peer refused the handshake with an alert",
        "server | refused: CertificateError, client-certificate",
    ),
}


def start(name, tmp_path):
    env = os.environ | {"TMPDIR": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, EXAMPLES / f"{name}.py"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def left_behind(tmp_path):
    """Files in the temporary folder, and processes whose working directory is in it."""
    found = list(tmp_path.iterdir())
    for process in os.listdir("/proc"):
        try:
            if process.isdigit() and os.readlink(f"/proc/{process}/cwd").startswith(str(tmp_path)):
                found.append(process)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("name", SAYS)
def test_example(name, tmp_path):
    process = start(name, tmp_path)
    told, _ = process.communicate(timeout=RUN_S)
    assert process.returncode == 0, told
    assert re.fullmatch(r"all as expected, in [0-9.]+ s", told.splitlines()[-1])
    for line in SAYS[name]:
        assert line in told, told
    # A failure that is shown is one line of an error, or a refused client's traceback; nothing else fails.
    assert "MemoryError" not in told and told.count("Traceback") == told.count("stranger | Traceback")
    assert "correct horse" not in told and "BEGIN" not in told
    assert left_behind(tmp_path) == []


def test_interrupted_example_leaves_nothing(tmp_path):
    process = start("chat", tmp_path)
    try:
        for line in process.stdout:
            if "* listening" in line:
                break
        assert len(left_behind(tmp_path)) > 1  # the folder with keys, and the server
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=RUN_S)
    finally:
        process.kill()
    assert process.returncode == 1 and told.endswith("\ninterrupted\n")
    assert left_behind(tmp_path) == []


@pytest.fixture
def stage(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    module = importlib.import_module("stage")
    monkeypatch.setattr(module, "WAIT_S", 2)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    yield module
    del sys.modules["stage"]


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda program, stage: program.expect("^never$"), r"one did not print '\^never\$'"),
        (lambda program, stage: program.ends(), "one ended with status 3"),
        (lambda program, stage: stage.command("no-such-command"), "securesocket ended with status 2"),
    ],
)
def test_what_does_not_happen_is_a_failure(stage, capsys, act, told):
    def example(here):
        act(here.program("one", ["sh", "-c", "echo something; exit 3"]), here)

    assert stage.play(example) == 1
    out = capsys.readouterr().out
    assert re.search(rf"^NOT as expected: {told}$", out, re.M) and "all as expected" not in out


def test_a_program_that_stays_is_a_failure(stage, capsys):
    assert stage.play(lambda here: here.program("one", ["sleep", "60"]).ends()) == 1
    assert "NOT as expected: one did not end\n" in capsys.readouterr().out


def test_device_programs_are_short():
    """A user copies them to a board, and reads them first."""
    names = {
        "echo_server",
        "echo_client",
        "chat_server",
        "chat_client",
        "mutual_server",
        "mutual_client",
        "coap_server",
        "coap_client",
    }
    assert names <= {path.stem for path in EXAMPLES.glob("*.py")}
    for name in names:
        assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < MAX_DEVICE_LINES, name


def make(*words):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", "example", *words], cwd=ROOT, env=env, capture_output=True, text=True)


def test_make_lists_them():
    done = make()
    assert done.returncode == 0
    listed = done.stdout.splitlines()[-1].partition("there are: ")[2].split()
    assert set(SAYS) <= set(listed)
    for name in listed:
        assert (EXAMPLES / f"{name}.py").is_file()
    for unknown in ("demo", "stage", "../examples/chat"):
        assert make(f"NAME={unknown}").returncode != 0
