# Raspberry Pi Pico: sockets and TLS over PPP on a UART; variant W5500: over Ethernet.
set(PICO_BOARD "pico")
set(PICO_PLATFORM "rp2040")
set(MICROPY_BOARD_PINS "${MICROPY_PORT_DIR}/boards/RPI_PICO/pins.csv")

set(MICROPY_PY_LWIP ON)

include("${MICROPY_BOARD_DIR}/../secure.cmake")
