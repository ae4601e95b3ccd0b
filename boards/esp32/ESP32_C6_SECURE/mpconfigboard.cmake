set(IDF_TARGET esp32c6)

set(SDKCONFIG_DEFAULTS
    boards/sdkconfig.base
    boards/sdkconfig.c6
)

include("${MICROPY_BOARD_DIR}/../secure.cmake")
