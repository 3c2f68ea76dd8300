// The kernels for machines with AVX-512.
#if defined(__x86_64__)

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

#define PIXELPRETEXT_SET avx512
#define PIXELPRETEXT_BYTES 64
#include "instructions.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
