// The kernels for machines with AVX2.
#if defined(__x86_64__)

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define PIXELPRETEXT_SET avx2
#define PIXELPRETEXT_BYTES 32
#include "instructions.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
