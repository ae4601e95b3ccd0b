set(IDF_TARGET esp32c3)

set(SDKCONFIG_DEFAULTS
    boards/sdkconfig.base
)

include("${MICROPY_BOARD_DIR}/../secure.cmake")
