"""Certificates, names, keys, and a store of trust anchors that is read in place.

Pure functions and small readers over buffers: no socket, no clock, and no file but a store's.
The same sources run on MicroPython and on CPython. Import the module you need; this one imports
none of them.
"""

__version__ = "0.1.0"
