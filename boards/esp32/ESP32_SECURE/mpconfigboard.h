#define MICROPY_HW_BOARD_NAME               "ESP32, securesocket"
#define MICROPY_HW_MCU_NAME                 "ESP32"

#include "../secure.h"
