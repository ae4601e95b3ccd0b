"""Each option with values that are taken and values that are refused, and what they do to a connection."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from certstore import anchors
from plugins.peers import Proxy, PythonServer, certificates
from plugins.pki import DAY, NOW, make

CHECK = """
def check(options):
    try:
        return repr(SecureContext(**options))
    except OSError as error:
        return [type(error).__name__, error.code, str(error)]

tell([check(options) for options in ALL])
"""

CONFIGURATION = ("ConfigurationError", "option-value")
UNSUPPORTED = ("UnsupportedFeature", "feature")
PIN = bytes(range(32))

# option, values that are taken, [(value, (class, code), in the message)]
VALUES = (
    ("verify", [True], [
        (1, CONFIGURATION, "verify=1"),
        (0, CONFIGURATION, "verify=0"),
        (None, CONFIGURATION, "verify=None"),
        ("no", CONFIGURATION, "verify='no'"),
    ]),
    ("pins", [None, PIN, [PIN], PIN.hex(), "sha256/" + base64.b64encode(PIN).decode(),
              base64.b64encode(PIN).decode(), "sha256:" + PIN.hex(), [PIN.hex(), PIN]], [
        (b"short", CONFIGURATION, "32 bytes"),
        (PIN + b"x", CONFIGURATION, "32 bytes"),
        ("00" * 31, CONFIGURATION, "64 hex digits"),
        ("zz" * 32, CONFIGURATION, "64 hex digits"),
        ("sha256/AAAA", CONFIGURATION, "base64"),
        ("", CONFIGURATION, "pins=''"),
        (17, CONFIGURATION, "pins=17"),
        ([None], CONFIGURATION, "pins=None"),
    ]),
    ("ciphers", [None, "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                 ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"],
                 "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], [
        ("TLS_NULL_WITH_NULL_NULL", ("ConfigurationError", "cipher"), "TLS_NULL_WITH_NULL_NULL"),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", ("ConfigurationError", "cipher"), "expected a name as TLS_"),
        ([], CONFIGURATION, "at least one name"),
        ("", ("ConfigurationError", "cipher"), "TLS_"),
        (7, CONFIGURATION, "ciphers=7"),
        ([7], ("ConfigurationError", "cipher"), "found 7"),
    ]),
    ("trace", [None, True, False], [
        (0, CONFIGURATION, "trace=0"),
        (1, CONFIGURATION, "trace=1"),
        ("print", CONFIGURATION, "True, or a callable"),
        ([], CONFIGURATION, "trace=[]"),
    ]),
    ("budget", ["raise", "warn", None], [
        (True, CONFIGURATION, "budget=True"),
        (False, CONFIGURATION, "budget=False"),
        ("no", CONFIGURATION, '"raise", "warn" or None'),
    ]),
    ("reserve", [0, 8192], [
        (-1, CONFIGURATION, "reserve=-1"),
        (None, CONFIGURATION, "reserve=None"),
        (True, CONFIGURATION, "reserve=True"),
        ("8192", CONFIGURATION, "a number of bytes"),
    ]),
    ("min_version", [None, "TLSv1.0", "TLSv1.2", 0x0303, 0x0301], [
        ("TLSv1.3", ("UnsupportedFeature", "feature"), "min_version=TLSv1.3"),
        (0x0304, ("UnsupportedFeature", "feature"), "min_version=TLSv1.3"),
        ("SSLv3", CONFIGURATION, "TLSv1.2"),
        (2, CONFIGURATION, "min_version=2"),
    ]),
    ("max_version", [None, "TLSv1.2", "TLSv1.3", 0x0303, 0x0304], [
        ("TLSv1.1", ("UnsupportedFeature", "feature"), "max_version=TLSv1.1"),
        (0x0301, ("UnsupportedFeature", "feature"), "max_version=TLSv1.0"),
        ("1.2", CONFIGURATION, "max_version='1.2'"),
    ]),
    ("server_name", [None, "host.test", "host.test.", "127.0.0.1", "xn--bcher-kva.example", "a" * 253], [
        ("", CONFIGURATION, "server_name=''"),
        ("a" * 254, CONFIGURATION, "ASCII host name"),
        ("b\u00fccher.example", CONFIGURATION, "ASCII host name"),
        ("host\0.test", CONFIGURATION, "server_name"),
        ("two words", CONFIGURATION, "server_name"),
        (b"host.test", CONFIGURATION, "server_name"),
        (7, CONFIGURATION, "server_name=7"),
    ]),
    ("on_bad_certificate", [None], [
        (True, CONFIGURATION, "a callable"),
        ("yes", CONFIGURATION, "a callable"),
    ]),
    ("identity", [None], [
        (b"one thing", ("NotFound", "not-found"), "9 bytes"),
        ("CN=nobody", ("NotFound", "not-found"), "CN=nobody"),
        ("-----BEGIN PRIVATE KEY-----", ("ConfigurationError", "identity"), "(certificate chain, private key)"),
        (b"k" * 129, ("ConfigurationError", "identity"), "(certificate chain, private key)"),
        ((b"one",), ("ConfigurationError", "identity"), "(certificate chain, private key)"),
        (([], b"key"), ("ConfigurationError", "identity"), "certificate first"),
        ((b"\x30\x03\2\1\1", b"no key"), ("FormatError", "key"), "not a private key"),
    ]),
    ("alpn", [None], [("mqtt", UNSUPPORTED, "alpn"), (["h2", "http/1.1"], UNSUPPORTED, "native engine")]),
    ("tickets", [None], [(True, UNSUPPORTED, "tickets")]),
    ("connection_id", [None], [(b"\x01", UNSUPPORTED, "connection_id")]),
    ("max_fragment_length", [None], [(4096, UNSUPPORTED, "max_fragment_length"), (512, UNSUPPORTED, "firmware")]),
    ("psk", [None], [((b"me", b"key"), UNSUPPORTED, "psk")]),
    ("now", [None], [(0, UNSUPPORTED, "now")]),
    ("trust", [], [
        ([], ("ConfigurationError", "trust-empty"), "no certificate"),
        (7, CONFIGURATION, "trust="),
        ([None], CONFIGURATION, "trust="),
        (b"", ("FormatError", "der-truncated"), "DER"),
        (b"\x30\x03\2\1\1", ("FormatError", None), ""),
        ("no certificate", ("FormatError", None), ""),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ("FormatError", None), ""),
        ("-----BEGIN CERTIFICATE-----\n", ("FormatError", "pem-armour"), "BEGIN without END"),
    ]),
)  # fmt: skip


@pytest.mark.parametrize(("option", "good", "bad"), VALUES, ids=[row[0] for row in VALUES])
def test_option_takes_its_values_and_no_other(drive, build, pki, option, good, bad):
    trust = {} if option == "trust" else {"trust": pki.root.der}
    rows = [{**trust, option: value} for value in good] + [{**trust, option: row[0]} for row in bad]
    told = drive(CHECK, build=build, params={"ALL": rows})
    for value, got in zip(good, told, strict=False):
        assert isinstance(got, str) and got.startswith("<SecureContext "), (value, got)
    for (value, (kind, code), text), got in zip(bad, told[len(good) :], strict=True):
        assert isinstance(got, list), (value, got)
        assert got[0] == kind and code in (None, got[1]) and text in got[2], (value, got)


# options, (class, code), in the message
CONFLICTS = (
    ({"verify": False, "pins": PIN}, ("ConfigurationError", "option-conflict"), "verify=False with pins="),
    ({"verify": False, "trust": b"x"}, ("ConfigurationError", "option-conflict"), "verify=False with trust="),
    ({"trust": None}, ("ConfigurationError", "option-conflict"), "trust=None without pins="),
    ({"trust": None, "pins": []}, ("ConfigurationError", "option-conflict"), "trust=None without pins="),
    ({"reserve": 8192, "budget": None}, ("ConfigurationError", "option-value"), "budget=None turns off"),
    ({"verfiy": False}, ("ConfigurationError", "option-unknown"), "found verfiy, expected trust, verify"),
    ({"cert_reqs": 0}, ("ConfigurationError", "option-unknown"), "cert_reqs"),
)


def test_options_that_contradict_each_other_are_refused(drive, build):
    lines = CHECK.replace("tell(", "ALL += [{'verify': False, 'on_bad_certificate': print}, "
        "{'trust': None, 'pins': PIN, 'on_bad_certificate': print}]\ntell(")  # fmt: skip
    told = drive(lines, build=build, params={"ALL": [row[0] for row in CONFLICTS], "PIN": PIN})
    for (options, error, text), got in zip(CONFLICTS, told, strict=False):
        assert (got[0], got[1]) == error and text in got[2], (options, got)
    for got in told[len(CONFLICTS) :]:
        assert got[:2] == ["ConfigurationError", "option-conflict"], got


def test_every_option_of_the_table_has_its_rows(drive):
    names = drive("from securesocket.context import OPTIONS\ntell(OPTIONS)")
    assert sorted(names) == sorted(row[0] for row in VALUES)


def test_name_is_needed_to_verify(attempt, build, pki, servers):
    for how in ("wrap", "context"):
        got = attempt(build, how=how, host=None, port=servers.python(pki.ec), secure={"trust": pki.root.der})
        assert (got["error"]["class"], got["error"]["code"]) == ("ConfigurationError", "server-name")


# ---- trust


def test_trust_in_every_form(attempt, drive, build, pki, servers, tmp_path):
    port = servers.python(pki.ec)
    root, other = pki.root, pki.stranger
    pem = other.pem + b"junk between\r\n" + root.pem.replace(b"\n", b"\r\n")
    for trust in (root.der, [root.der], (other.der, root.der), root.pem, root.pem.decode(), pem, [pem, other.pem],
                  bytearray(root.der)):  # fmt: skip
        assert attempt(build, port=port, secure={"trust": trust}).get("reply") == "ping\n"
    file = tmp_path / "roots.bin"
    file.write_bytes(anchors.build([root.der, other.der], int(NOW.timestamp()) - 86400))
    lines = """
from certstore.store import CertStore
def source(trust):
    return attempt(port=PORT, secure={"trust": trust}).get("anchor_source")
def stored():
    with open(FILE, "rb") as file:
        return CertStore(file.read())
tell([source(CertStore(FILE)), source(stored()), source([stored(), OTHER]), source([CertStore(FILE), ROOT])])
"""
    params = {"PORT": port, "FILE": str(file), "OTHER": other.der, "ROOT": root.der}
    assert drive(lines, build=build, params=params) == ["store", "store", "store", "certificate"]


def test_store_of_the_firmware_is_the_default(attempt, build, pki, servers):
    """Mozilla's roots know nobody here; their store is asked all the same."""
    got = attempt(build, port=servers.python(pki.ec))
    assert (got["error"]["class"], got["error"]["code"]) == ("UnknownIssuer", "unknown-issuer")


def test_damaged_store_is_refused_before_a_miss_is_believed(drive, build, pki, servers, tmp_path):
    blob = bytearray(anchors.build([pki.root.der, pki.stranger.der], int(NOW.timestamp()) - 86400))
    file = tmp_path / "damaged.bin"
    blob[-20] ^= 1
    file.write_bytes(blob)
    lines = """
from certstore.store import CertStore
tell([attempt(port=port, secure={"trust": CertStore(FILE)})["error"] for port in PORTS])
"""
    ports = [servers.python(chain) for chain in (pki.rsa, pki.ec384)]
    for told in drive(lines, build=build, params={"PORTS": ports, "FILE": str(file)}):
        assert told["class"] == "CorruptStore"


def test_verification_that_is_off_says_so(attempt, build, pki, servers):
    got = attempt(
        build, port=servers.python(pki.foreign), host="wrong.test", how="wrap", secure={"verify": False}
    )
    assert got["reply"] == "ping\n"
    assert got["authorized"] is False and got["authorization_error"]["code"] == "verification-off"
    assert got["anchor"] is None and got["anchor_source"] is None
    assert bytes.fromhex(got["certificate"]) == pki.foreign[0].der


# ---- pins


def forms(pin):
    return [pin, pin.hex(), pin.hex().upper(), base64.b64encode(pin).decode(),
            "sha256/" + base64.b64encode(pin).decode(), [bytes(32), pin]]  # fmt: skip


def test_pin_of_any_key_of_the_verified_path_is_enough(attempt, build, pki, servers):
    port = servers.python(pki.ec)
    for member in pki.ec[0].upwards():
        for pin in forms(member.pin) if member is pki.root else [member.pin]:
            got = attempt(build, port=port, secure={"trust": pki.root.der, "pins": pin})
            assert got.get("authorized") is True, got


# what, chain, trust, the pinned key
UNPINNED = (
    ("a key of nobody", lambda p: (p.ec, p.root, bytes(32))),
    ("a key of another chain", lambda p: (p.ec, p.root, p.foreign[0].pin)),
    ("a foreign pinned certificate appended", lambda p: ([*p.ec, p.foreign[0]], p.root, p.foreign[0].pin)),
    ("a foreign pinned root appended", lambda p: ([*p.ec, p.stranger], p.root, p.stranger.pin)),
    ("an intermediate that is sent, not used", lambda p: ([*p.ec, p.foreign[1]], p.root, p.foreign[1].pin)),
    ("another anchor of the trust set", lambda p: (p.ec, p.root, p.stranger.pin)),
    ("the CA above an exact certificate", lambda p: (p.foreign, p.foreign[0], p.foreign[1].pin)),
)


@pytest.mark.parametrize(("what", "made"), UNPINNED, ids=[row[0] for row in UNPINNED])
@pytest.mark.parametrize("how", ["socket", "asyncio"])
def test_pin_outside_the_verified_path_counts_for_nothing(attempt, build, pki, servers, how, what, made):
    chain, trust, pin = made(pki)
    secure = {"trust": [trust.der, pki.stranger.der], "pins": pin}
    if trust is not pki.root:
        secure["trust"] = trust.der
    got = attempt(build, how=how, port=servers.python(chain), secure=secure)
    assert "reply" not in got, got
    assert (got["error"]["class"], got["error"]["code"]) == ("PinMismatch", "pin")
    assert chain[0].pin.hex() in got["error"]["text"]


def test_pin_does_not_replace_trust(attempt, build, pki, servers):
    got = attempt(
        build, port=servers.python(pki.foreign), secure={"trust": pki.root.der, "pins": pki.foreign[0].pin}
    )
    assert got["error"]["code"] == "unknown-issuer"


def test_pins_alone_look_at_the_key_of_the_leaf_only(attempt, build, pki, servers):
    """Host name and dates are not checked; every other key of the chain counts for nothing."""
    expired = [make("other.test", pki.middle, hosts=("other.test",), not_after=NOW - DAY), pki.middle]
    for chain in (pki.foreign, expired):
        port = servers.python(chain)
        for how in ("socket", "asyncio", "wrap"):
            got = attempt(build, how=how, port=port, secure={"trust": None, "pins": chain[0].pin})
            assert got.get("authorized") is True and got["anchor"] is None, got
        for pin in (chain[1].pin, chain[1].issuer.pin, bytes(32)):
            got = attempt(build, port=port, secure={"trust": None, "pins": pin})
            assert "reply" not in got and got["error"]["code"] == "pin"


def test_pins_alone_are_not_met_by_an_appended_certificate(attempt, build, pki, servers):
    port = servers.python([pki.foreign[0], pki.ec[0], *pki.ec])
    for how in ("socket", "asyncio"):
        got = attempt(build, how=how, port=port, secure={"trust": None, "pins": pki.ec[0].pin})
        assert "reply" not in got and got["error"]["code"] == "pin"


# ---- ciphers


def test_cipher_that_is_asked_for_is_used(attempt, build, pki, servers):
    for kind, name in (
        ("ec", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        ("ec", "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384"),
        ("rsa", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("rsa", "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384"),
    ):
        trust = pki.root if kind == "ec" else pki.rsa_root
        got = attempt(
            build, port=servers.python(getattr(pki, kind)), secure={"trust": trust.der, "ciphers": name}
        )
        assert got["cipher"] == [name.replace("_", "-"), "TLSv1.2"]


def test_server_with_other_ciphers_only_is_told(attempt, build, pki, servers):
    for chain, trust, only in (
        (pki.ec, pki.root, "ECDHE-ECDSA-AES256-SHA"),
        (pki.rsa, pki.rsa_root, "AES128-SHA"),
    ):

        def setup(context, only=only):
            context.set_ciphers(only + ":@SECLEVEL=0")

        server = servers.start(PythonServer, chain, setup=setup)
        got = attempt(build, port=server.port, secure={"trust": trust.der})
        assert got["error"]["class"] == "HandshakeError" and got["error"]["code"] == "alert"
        assert (got["error"]["alert"], got["error"]["direction"]) == (40, "received")
        assert "handshake_failure" in got["error"]["found"] and "ciphers=" in got["error"]["remedy"]


# ---- identity: what the server received


def test_identity_arrives_whole_in_every_form(attempt, build, pki, servers):
    """Three certificates given are three received, leaf first, whatever form the key has."""
    server = servers.start(PythonServer, pki.ec, client_ca=pki.device_root.pem)
    for device in (pki.device, pki.rsa_device):
        chain = [member.der for member in device]
        pem = b"".join(member.pem for member in device)
        leaf = device[0]
        identities = [
            (chain, leaf.private(form, coding))
            for form in ("pkcs8", "traditional")
            for coding in ("der", "pem")
        ]
        identities += [
            (pem, leaf.private()),
            (pem.decode(), leaf.private().decode()),
            ([pem[: len(device[0].pem)], *chain[1:]], leaf.private()),
        ]
        for identity in identities:
            proxy = servers.start(Proxy, server.port)
            got = attempt(build, port=proxy.port, secure={"trust": pki.root.der, "identity": identity})
            assert got.get("reply") == "ping\n", got
            assert certificates(proxy.sent[0]) == chain
            assert server.peers[server.count - 1] == leaf.der


def test_no_identity_no_certificate(attempt, build, pki, servers):
    server = servers.start(PythonServer, pki.ec, client_ca=pki.device_root.pem)
    proxy = servers.start(Proxy, server.port)
    assert attempt(build, port=proxy.port, secure={"trust": pki.root.der})["reply"] == "ping\n"
    assert certificates(proxy.sent[0]) == []


def test_identity_is_not_shown_to_a_server_that_is_refused(attempt, build, pki, servers):
    server = servers.start(PythonServer, pki.foreign, client_ca=pki.device_root.pem)
    proxy = servers.start(Proxy, server.port)
    identity = ([member.der for member in pki.device], pki.device[0].private())
    got = attempt(build, port=proxy.port, secure={"trust": pki.root.der, "identity": identity})
    assert got["error"]["code"] == "unknown-issuer"
    assert certificates(proxy.sent[0]) is None


def test_identity_refused_by_the_server_is_told(attempt, build, pki, servers):
    server = servers.start(PythonServer, pki.ec, client_ca=pki.stranger.pem)
    identity = ([member.der for member in pki.device], pki.device[0].private())
    got = attempt(build, port=server.port, secure={"trust": pki.root.der, "identity": identity})
    assert (got["error"]["class"], got["error"]["code"]) == ("HandshakeError", "alert")
    assert got["error"]["found"].startswith("unknown_ca") and "identity=" in got["error"]["remedy"]


def test_identity_that_mbedtls_cannot_use_is_refused_before_the_handshake(attempt, build, pki, servers):
    """certstore reads an Ed25519 certificate; mbedTLS does not know the algorithm."""
    strange = make("device", pki.device_root, key=ed25519.Ed25519PrivateKey.generate())
    port = servers.python(pki.ec)
    secure = {"trust": pki.root.der, "identity": ([pki.device[0].der, strange.der], pki.device[0].private())}
    got = attempt(build, port=port, secure=secure)
    assert (got["error"]["class"], got["error"]["code"]) == ("ConfigurationError", "identity"), got
    assert "invalid cert" in got["error"]["found"]


def test_bad_identity_is_refused_without_a_byte_of_the_key(drive, build, pki):
    device = pki.device[0]
    secret = device.key.private_numbers().private_value.to_bytes(32)
    chain = [device.der]
    rsa = pki.rsa_device[0]
    other = pki.foreign[0].private("traditional", "der")
    encrypted = device.private(password=b"word")
    cut = device.private("traditional", "der")
    rows = [
        ((chain, other), ("ConfigurationError", "identity-mismatch")),
        ((chain, rsa.private()), ("ConfigurationError", "identity-mismatch")),
        (([rsa.der], device.private()), ("ConfigurationError", "identity-mismatch")),
        ((chain, encrypted), ("FormatError", "key-encrypted")),
        ((chain, device.private("pkcs8", "der", b"word")), ("FormatError", "key-encrypted")),
        ((chain, cut[:-40]), ("FormatError", "key")),
        ((chain, cut[1:]), ("FormatError", "key")),
        ((chain, secret), ("FormatError", "key")),
        ((chain, device.private().replace(b"A", b"*")), ("FormatError", "pem-none")),
        ((device.private(), device.private()), ("FormatError", "pem-none")),
        ((secret, device.private()), ("FormatError", None)),
        (([], device.private()), ("ConfigurationError", "identity")),
    ]
    lines = """
def texts(identity):
    try:
        return ["", "", repr(SecureContext(trust=TRUST, identity=identity))]
    except OSError as error:
        trace = io.StringIO()
        sys.print_exception(error, trace)
        return [type(error).__name__, error.code, str(error) + repr(error) + repr(error.args) + trace.getvalue()]
tell([texts(identity) for identity in ALL])
"""
    good = (chain, device.private())
    told = drive(lines, build=build, params={"ALL": [good, *[row[0] for row in rows]], "TRUST": pki.root.der})
    assert told[0] == ["", "", "<SecureContext verified, with identity>"]
    for (identity, (kind, code)), got in zip(rows, told[1:], strict=True):
        assert got[0] == kind and code in (None, got[1]), (code, got)
    for _, _, text in told:
        for size in range(0, 32, 8):
            piece = secret[size : size + 8]
            assert piece.hex() not in text and repr(piece)[2:-1] not in text
            assert base64.b64encode(piece).decode()[:8] not in text
