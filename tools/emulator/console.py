"""Bytes to and from the emulated USB serial port, as fast as the device takes them."""

PACE_NS = 1_000_000


class Console:
    """`write(data)` queues; each function in `listeners` gets what the device sends."""

    def __init__(self, cdc, clock):
        self._cdc = cdc
        self._pending = bytearray()
        self._pacing = clock.create_alarm(self._pump)
        self._paced = False
        self.listeners = set()
        cdc.on_serial_data = self._received

    def write(self, data):
        self._pending += data
        if not self._paced:
            self._pump()

    def _pump(self):
        # The port's FIFO drops what does not fit.
        fifo = self._cdc.tx_fifo
        room = fifo.size - fifo.item_count
        for byte in self._pending[:room]:
            self._cdc.send_serial_byte(byte)
        del self._pending[:room]
        self._paced = bool(self._pending)
        if self._paced:
            self._pacing.schedule(PACE_NS)

    def _received(self, data):
        for listener in tuple(self.listeners):
            listener(bytes(data))
