"""Runs on the device at each start of an emulated Pico: clock, network, and consent to a random source that
is constant there. `ppp` is the network's interface.

The emulator writes two constants in front: NOW, what machine.RTC.datetime takes, and HOST_NAMES, addresses
of names that mean the emulating computer's loopback.
"""

# ruff: noqa: F821 (the constants in front)

import socket
import sys
import time

import machine
import network

from certstore.entropy import accept_weak

if time.gmtime()[0] < NOW[0]:
    machine.RTC().datetime(NOW)

uart = machine.UART(0, 1_000_000, tx=machine.Pin(0), rx=machine.Pin(1), rxbuf=4096, txbuf=2048)
ppp = network.PPP(uart)
ppp.connect()
started = time.ticks_ms()
# isconnected() is true before an address has been given.
while ppp.ifconfig()[0] == "0.0.0.0" and time.ticks_diff(time.ticks_ms(), started) < 5_000:
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

accept_weak()
