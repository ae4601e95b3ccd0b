# With WIZnet's W5500 on SPI0, wired as on the W5500-EVB-Pico. Needs the submodule lib/wiznet5k.
set(MICROPY_PY_NETWORK_WIZNET5K W5500)

list(APPEND MICROPY_DEF_BOARD
    MICROPY_HW_BOARD_NAME="Raspberry Pi Pico with W5500, securesocket"
)
