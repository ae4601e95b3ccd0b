// mbedTLS as MicroPython's rp2 port configures it, without what no handshake of ours can use.

#ifndef SECURESOCKET_MBEDTLS_RP2_H
#define SECURESOCKET_MBEDTLS_RP2_H

#include "ports/rp2/mbedtls/mbedtls_config_port.h"

// mbedTLS offers secp256r1 and larger only (ssl_tls.c, ssl_preset_default_curves), and its
// default profile for certificates refuses what has less than 256 bits. secp256k1, which that
// profile allows, no public CA may use (CA/Browser Forum Baseline Requirements 6.1.5).
#undef MBEDTLS_ECP_DP_SECP192R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP224R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP192K1_ENABLED
#undef MBEDTLS_ECP_DP_SECP224K1_ENABLED
#undef MBEDTLS_ECP_DP_SECP256K1_ENABLED

// Of TLS 1.1 and older.
#undef MBEDTLS_MD5_C

#endif // SECURESOCKET_MBEDTLS_RP2_H
