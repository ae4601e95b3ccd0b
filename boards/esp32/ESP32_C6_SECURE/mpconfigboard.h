#define MICROPY_HW_BOARD_NAME               "ESP32-C6, securesocket"
#define MICROPY_HW_MCU_NAME                 "ESP32C6"

// The REPL on the UART too, for modules without native USB.
#define MICROPY_HW_ENABLE_UART_REPL         (1)

// The port has no I2S driver for this chip.
#define MICROPY_PY_MACHINE_I2S              (0)

#include "../secure.h"
