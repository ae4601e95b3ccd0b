# The emulated device's boot.py: clock, network, and consent to a random source that is constant here.
# The emulator writes NOW, (year, month, day, weekday, hour, minute, second, 0), and HOST_NAMES in front.
import socket
import sys
import time

import machine
import network

if time.gmtime()[0] < NOW[0]:
    machine.RTC().datetime(NOW)

_uart = machine.UART(0, 1_000_000, tx=machine.Pin(0), rx=machine.Pin(1), rxbuf=4096, txbuf=2048)
_ppp = network.PPP(_uart)
_ppp.connect()
_start = time.ticks_ms()
# isconnected() is true before an address has been given.
while _ppp.ifconfig()[0] == "0.0.0.0" and time.ticks_diff(time.ticks_ms(), _start) < 20_000:
    time.sleep_ms(5)


class _Socket:
    """The module `socket`, with the names of the emulating computer's loopback leading there."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        return getattr(self._module, name)

    def getaddrinfo(self, host, *more):
        return self._module.getaddrinfo(HOST_NAMES.get(host, host), *more)


sys.modules["socket"] = _Socket(socket)

try:
    from certstore.entropy import accept_weak
except ImportError:
    pass
else:
    accept_weak()
