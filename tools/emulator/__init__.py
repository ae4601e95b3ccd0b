"""An emulated Raspberry Pi Pico that runs our firmware, with TCP/IP through PPP to this computer's loopback.

It proves function, heap and size. It proves no security (the random source is constant) and no real time
(everything takes about 25 times as long; times are emulated ones, counted in processor cycles).

    errors    what goes wrong, typed
    image     the firmware's file, checked
    files     modules for the device's file system
    emulated  runs on the device at its start
    uart      the serial port as the PL011 has it
    heap      MicroPython's allocation table, read from outside
    network   PPP to a process that is the rest of the internet
    repl      the raw REPL as a protocol
    console   bytes to and from the emulated USB port
    machine   the parts put together
    serve     the machine as a process, on two sockets
    client    start that process, run scripts in it
"""

# Where its sockets listen.
HOST = "127.0.0.1"
# A script that holds this pin high marks a window that is measured.
MARK_PIN = 22
