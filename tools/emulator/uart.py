"""The emulator's serial port with the interrupts that MicroPython's driver lives on.

rp2040py's model differs from the PL011 (ARM DDI 0183, 3.2.4) in two ways that matter here:
1. it asserts the transmit interrupt again on each look, so a driver that clears it is entered for ever;
   it is an event of each byte sent, cleared through UARTICR;
2. it has no receive-timeout interrupt and raises the receive interrupt for each byte. The timeout, 32 bit
   times after the last byte while any are waiting, is MicroPython's IRQ_RXIDLE, which drives network.PPP;
   the receive interrupt belongs to the level that UARTIFLS selects.
"""

from rp2040py.peripherals.uart import RPUART, UARTDR, UARTRXINTR, UARTTXINTR

UARTIFLS = 0x34
UARTRTINTR = 1 << 6
IFLS_AT_RESET = 0x12
# Bytes of the 32 that the FIFO holds, for each value of RXIFLSEL: 1/8, 1/4, 1/2, 3/4, 7/8.
RECEIVE_LEVELS = (4, 8, 16, 24, 28)
TIMEOUT_BITS = 32
NANOSECONDS = 1_000_000_000
# rp2040's map of peripherals: (index of the port, key in RP2040.peripherals).
UARTS = ((0, 0x40034), (1, 0x40038))


class Pl011(RPUART):
    """An RPUART with both corrections."""

    def __init__(self, *args):
        self._level_select = IFLS_AT_RESET
        super().__init__(*args)
        self._timeout = self.rp2040.clock.create_alarm(self._receive_timeout)

    def reset(self):
        super().reset()
        self._level_select = IFLS_AT_RESET

    def check_interrupts(self):
        self.rp2040.set_interrupt(self.irq, bool(self._interrupt_status & self._interrupt_mask))

    def feed_byte(self, value):
        self.rx_fifo.push(value)
        self._receive_level()
        if self.baud_divider:
            self._timeout.schedule(TIMEOUT_BITS * NANOSECONDS / self.baud_rate)

    def read_uint32(self, offset):
        if offset == UARTIFLS:
            return self._level_select
        if offset == UARTDR:
            value = 0 if self.rx_fifo.empty else self.rx_fifo.pull()
            self._receive_level()
            return value
        return super().read_uint32(offset)

    def write_uint32(self, offset, value):
        if offset == UARTIFLS:
            self._level_select = value
            return
        super().write_uint32(offset, value)
        if offset == UARTDR:
            self._interrupt_status |= UARTTXINTR
            self.check_interrupts()

    def _receive_level(self):
        level = RECEIVE_LEVELS[min(self._level_select >> 3 & 7, len(RECEIVE_LEVELS) - 1)]
        if self.rx_fifo.item_count >= level:
            self._interrupt_status |= UARTRXINTR
        else:
            self._interrupt_status &= ~UARTRXINTR
        if self.rx_fifo.empty:
            self._interrupt_status &= ~UARTRTINTR
        self.check_interrupts()

    def _receive_timeout(self):
        if not self.rx_fifo.empty:
            self._interrupt_status |= UARTRTINTR
            self.check_interrupts()


def correct(mcu):
    """Put corrected ports in the place of a machine's own, before it starts."""
    for index, key in UARTS:
        old = mcu.uart[index]
        mcu.uart[index] = mcu.peripherals[key] = Pl011(mcu, old.name, old.irq, old.dreq)
