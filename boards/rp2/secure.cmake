# What our rp2 boards share.
include("${CMAKE_CURRENT_LIST_DIR}/../frozen.cmake")

set(MBEDTLS_CONFIG_FILE "${CMAKE_CURRENT_LIST_DIR}/../../firmware/mbedtls/rp2.h")

# Nothing here formats a float with C's printf: MicroPython has its own code for that.
list(APPEND MICROPY_DEF_BOARD PICO_PRINTF_SUPPORT_FLOAT=0)
