"""TLS for MicroPython, verified by default. Each name is loaded when it is first used."""

__version__ = "0.1.0"

_MODULES = {
    "SecureSocket": "socket",
    "SecureStream": "stream",
    "SecureContext": "context",
    "default_store": "stores",
}


def __getattr__(name):
    if not name or name[0] == "_":
        raise AttributeError(name)
    # MicroPython asks here for submodules too, before it looks for their files.
    module = _MODULES.get(name, "errors" if "A" <= name[0] <= "Z" else name)
    try:
        __import__("securesocket." + module)
    except ImportError as error:
        if module not in str(error):
            raise
        raise AttributeError(name)
    loaded = globals()[module]
    if module == name:
        return loaded
    value = getattr(loaded, name)
    globals()[name] = value
    return value
