"""A device whose random source stands still makes no connection, unless somebody has said that it may."""

import pytest

from plugins.peers import Proxy, PythonServer

BROKEN = """
from certstore import entropy

class Source:
    def urandom(size):
        %s

entropy.os = Source
# The emulator accepts it at its start.
entropy.is_weak_accepted = False
%s
tell(attempt(**ROW))
"""
CONSTANT, ABSENT = "return bytes(size)", "raise OSError(5)"


@pytest.mark.parametrize("how", ["socket", "open", "wrap", "stream", "context", "later", "asyncio"])
def test_no_handshake_without_randomness(drive, build, pki, servers, how):
    server = servers.start(PythonServer, pki.ec)
    proxy = servers.start(Proxy, server.port)
    for secure in ({"trust": pki.root.der}, {"verify": False}, {"trust": None, "pins": pki.ec[0].pin}):
        row = {"how": how, "port": proxy.port, "secure": secure}
        for source, code in ((CONSTANT, "entropy-weak"), (ABSENT, "entropy-absent")):
            got = drive(BROKEN % (source, ""), build=build, params={"ROW": row})
            assert (got["error"]["class"], got["error"]["code"]) == ("EntropyError", code)
        assert not any(proxy.sent.values()), "bytes were sent"
    if how in ("socket", "open"):
        assert proxy.count == 0, "a connection was made"


@pytest.mark.parametrize("name", ["certstore.entropy.accept_weak", "securesocket.accept_weak_entropy"])
def test_it_is_accepted_by_name(drive, build, pki, servers, name):
    row = {"port": servers.python(pki.ec), "secure": {"trust": pki.root.der}}
    accept = f"import securesocket, certstore.entropy; {name}()"
    got = drive(BROKEN % (CONSTANT, accept), build=build, params={"ROW": row})
    assert got["reply"] == "ping\n"


def test_an_identity_is_not_encrypted_without_randomness(drive, build, pki, tmp_path):
    lines = """
from certstore import anchors, entropy
from certstore.store import CertStore

class Source:
    def urandom(size):
        return bytes(size)

entropy.os = Source
entropy.is_weak_accepted = False
with open(PATH, "wb") as file:
    file.write(anchors.build([], 0))
try:
    CertStore(PATH).add_identity("device", CHAIN, KEY, password=b"password")
except OSError as error:
    tell([type(error).__name__, error.code, CertStore(PATH).identity_count])
"""
    params = {"CHAIN": pki.ec[0].pem, "KEY": pki.ec[0].private(), "PATH": str(tmp_path / "store.bin")}
    assert drive(lines, build=build, params=params) == ["EntropyError", "entropy-weak", 0]
