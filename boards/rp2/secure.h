// What our rp2 boards do without (boards/README.md has the bytes).

// A REPL and a password over the network in the clear; `websocket` is there for it only.
#define MICROPY_PY_WEBREPL                      (0)
#define MICROPY_PY_WEBSOCKET                    (0)

// For room: math.gamma, lgamma, erf, erfc; cmath; the Pico as somebody's I2C peripheral.
#define MICROPY_PY_MATH_SPECIAL_FUNCTIONS       (0)
#define MICROPY_PY_CMATH                        (0)
#define MICROPY_PY_MACHINE_I2C_TARGET           (0)
