#define MICROPY_HW_BOARD_NAME               "ESP32-C3, securesocket"
#define MICROPY_HW_MCU_NAME                 "ESP32C3"

// The REPL on the UART too, for modules without native USB.
#define MICROPY_HW_ENABLE_UART_REPL         (1)

#include "../secure.h"
