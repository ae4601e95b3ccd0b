"""In a checkout, `certstore` is the device's own sources, in lib/."""

import pathlib
import sys

_LIBRARY = pathlib.Path(__file__).resolve().parent.parent.parent / "lib" / "certstore"

if _LIBRARY.is_dir() and str(_LIBRARY) not in sys.path:
    sys.path.insert(0, str(_LIBRARY))
