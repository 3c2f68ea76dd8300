// The kernels for any machine: 16-byte vectors, which every 64-bit processor has.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels.h"

#define PIXELPRETEXT_SET baseline
#define PIXELPRETEXT_BYTES 16
#include "instructions.h"
