# Raspberry Pi Pico 2 W (Arm cores): Wi-Fi, without Bluetooth.
set(PICO_BOARD "pico2_w")
set(PICO_PLATFORM "rp2350")
set(MICROPY_BOARD_PINS "${MICROPY_PORT_DIR}/boards/RPI_PICO2_W/pins.csv")

set(MICROPY_PY_LWIP ON)
set(MICROPY_PY_NETWORK_CYW43 ON)

include("${MICROPY_BOARD_DIR}/../secure.cmake")
