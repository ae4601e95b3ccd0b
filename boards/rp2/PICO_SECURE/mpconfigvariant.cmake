# Found before the port's own lwipopts.h, which it includes.
include_directories(BEFORE "${MICROPY_BOARD_DIR}/../ppp")
