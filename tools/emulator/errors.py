"""What goes wrong around an emulated Pico: one class a cause; each says found, expected, remedy."""


class EmulatorError(Exception):
    """Above all of them. `code` is stable and travels from the emulator's process to its client."""

    code = "emulator"


class ImageError(EmulatorError):
    """The firmware's file is missing, or no image that this chip boots."""

    code = "image"


class MissingProgram(EmulatorError):
    """A program that the emulator starts is not installed."""

    code = "program"


class PortInUse(EmulatorError):
    """The port for the REPL cannot be listened on."""

    code = "port"


class NetworkDown(EmulatorError):
    """The program at the other end of PPP has ended."""

    code = "network"


class ScriptTimeout(EmulatorError):
    """A script, or a start, took longer than it was given, in emulated milliseconds."""

    code = "timeout"


class MachineStopped(EmulatorError):
    """The emulated processor, or its process, has ended."""

    code = "stopped"


class ProtocolError(EmulatorError):
    """The REPL, or a request to the emulator's process, did not say what it should."""

    code = "protocol"


CLASSES = {
    one.code: one
    for one in (
        ImageError,
        MissingProgram,
        PortInUse,
        NetworkDown,
        ScriptTimeout,
        MachineStopped,
        ProtocolError,
    )
}


def error(code, text):
    """The error of a code, as it was told by another process."""
    return CLASSES.get(code, EmulatorError)(text)
