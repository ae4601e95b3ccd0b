// mbedTLS exactly as MicroPython configures it, with its memory on the MicroPython heap
// as on every microcontroller, and the host's own source of entropy.

#ifndef SECURESOCKET_MBEDTLS_STOCK_H
#define SECURESOCKET_MBEDTLS_STOCK_H

// As ports/rp2 has it: without, a P-256 handshake takes several times as long.
#define MBEDTLS_ECP_NIST_OPTIM

#define MICROPY_MBEDTLS_CONFIG_BARE_METAL (1)

#include "ports/unix/mbedtls/mbedtls_config_port.h"

#undef MBEDTLS_ENTROPY_HARDWARE_ALT
#undef MBEDTLS_NO_PLATFORM_ENTROPY

#endif // SECURESOCKET_MBEDTLS_STOCK_H
