// The host variant: the port's standard variant, with what the Pico's stock firmware has
// and our code can notice.

#include "variants/standard/mpconfigvariant.h"

// mbedTLS allocates on the MicroPython heap, as on rp2: gc.mem_alloc() then tells
// what a handshake costs.
#define MICROPY_TRACKED_ALLOC          (1)

#define MICROPY_PY_OS_UNAME            (1)
#define MICROPY_HW_BOARD_NAME          "host"
#define MICROPY_HW_MCU_NAME            MICROPY_PY_SYS_PLATFORM

// Elsewhere a default. Stated here because tests rely on it.
#define MICROPY_PY_SSL_FINALISER       (1)

#if !MICROPY_VFS_ROM
#error "the store is read from ROMFS too: this port needs MICROPY_VFS_ROM"
#endif
