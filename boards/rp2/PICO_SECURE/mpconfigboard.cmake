# Raspberry Pi Pico: sockets and TLS over PPP on a UART.
set(PICO_BOARD "pico")
set(PICO_PLATFORM "rp2040")

set(MICROPY_PY_LWIP ON)

include("${MICROPY_BOARD_DIR}/../../frozen.cmake")
