"""Writes lib/certstore/certstore/mozilla.py from certifi: which key identifiers are Mozilla's roots'.

Run it again when the pin of certifi in pyproject.toml changes; a test compares the two.
"""

import pathlib
import sys

import certifi

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "lib" / "certstore"))

from certstore import pem  # noqa: E402
from certstore.certificate import Certificate  # noqa: E402

TARGET = ROOT / "lib" / "certstore" / "certstore" / "mozilla.py"

TEMPLATE = '''"""The key identifiers of Mozilla's roots: an error can name the command that adds one.

Made by tools/mozilla_keys.py from certifi {version} ({count} roots). Only the first {width} bytes of
each are here: this decides nothing but the wording of a message.
"""

from .compat import const

_WIDTH = const({width})
_KEYS = (
{rows}
)


def has(ski):
    """Whether a root of Mozilla's set has this SubjectKeyIdentifier (bytes)."""
    for at in range(0, len(_KEYS), _WIDTH):
        if ski[:_WIDTH] == _KEYS[at : at + _WIDTH]:
            return True
    return False
'''
WIDTH = 4


def source():
    """The module's text for the certifi that is installed."""
    roots = pem.decode(pathlib.Path(certifi.where()).read_bytes(), "CERTIFICATE")
    keys = sorted(bytes(Certificate(der).ski)[:WIDTH] for der in roots)
    data = b"".join(keys)
    rows = []
    for at in range(0, len(data), 6 * WIDTH):
        text = "".join(f"\\x{byte:02x}" for byte in data[at : at + 6 * WIDTH])
        rows.append(f'    b"{text}"')
    return TEMPLATE.format(version=certifi.__version__, count=len(roots), width=WIDTH, rows="\n".join(rows))


if __name__ == "__main__":
    TARGET.write_text(source())
    print(f"{TARGET.relative_to(ROOT)}: written")
