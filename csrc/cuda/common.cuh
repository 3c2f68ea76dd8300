// What all kernels share: element types, the sums they are added up in, vector loads and stores.
//
// The kernels are templates in headers and use nothing of torch but its element types, so that the tests can compile
// the same sources for the CPU and run every block there, thread by thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#ifndef PIXELPRETEXT_EMULATED
#define SHARED_MEMORY(type, name)                                \
  extern __shared__ __align__(16) unsigned char shared_memory[]; \
  type* name = reinterpret_cast<type*>(shared_memory)
#endif

namespace pixelpretext {

constexpr int kThreads = 256;  // threads per block of every kernel but those on large radii
constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;  // mask of the shuffles: whole warps always take part

// The type that products of T are summed in: double for double, float for everything else.
template <typename T>
struct SumOf {
  using type = float;
};
template <>
struct SumOf<double> {
  using type = double;
};
template <typename T>
using Sum = typename SumOf<T>::type;

// Four numbers that are read from shared memory at once.
template <typename S>
struct alignas(16) Quad {
  S value[4];
};

// Sixteen bytes, the widest single load.
struct alignas(16) Word {
  unsigned part[4];
};

__device__ __forceinline__ Word load_word(const void* from) {
#ifdef PIXELPRETEXT_EMULATED
  return emulation::load_aligned<Word>(from);
#else
  const uint4 read = __ldg(static_cast<const uint4*>(from));
  return Word{{read.x, read.y, read.z, read.w}};
#endif
}

// VECTOR neighbouring elements as they are in memory, not yet widened: half the registers, so more can be under way.
template <typename T, int VECTOR>
struct Raw {
  static constexpr int elements = sizeof(Word) / sizeof(T);
  static constexpr int words = VECTOR / elements;
  static_assert(VECTOR % elements == 0);
  Word word[words];

  // Reads from an address divisible by 16; zeros where `valid` is false.
  __device__ __forceinline__ void read_if(bool valid, const T* from) {
#pragma unroll
    for (int k = 0; k < words; ++k) {
      word[k] = Word{};
      if (valid) word[k] = load_word(from + k * elements);
    }
  }

  __device__ __forceinline__ void widen(Sum<T> (&to)[VECTOR]) const {
#pragma unroll
    for (int k = 0; k < words; ++k) {
      T part[elements];
      memcpy(part, &word[k], sizeof(Word));
#pragma unroll
      for (int v = 0; v < elements; ++v) to[k * elements + v] = static_cast<Sum<T>>(part[v]);
    }
  }
};

// One element, from any address.
template <typename T>
struct Raw<T, 1> {
  T element;

  __device__ __forceinline__ void read_if(bool valid, const T* from) { element = valid ? *from : static_cast<T>(0); }

  __device__ __forceinline__ void widen(Sum<T> (&to)[1]) const { to[0] = static_cast<Sum<T>>(element); }
};

// Rounds and writes VECTOR neighbouring elements.
template <int VECTOR, typename T>
__device__ __forceinline__ void store(T* to, const Sum<T> (&from)[VECTOR]) {
  if constexpr (VECTOR == 1) {
    to[0] = static_cast<T>(from[0]);
  } else {
    constexpr int elements = sizeof(Word) / sizeof(T);
#pragma unroll
    for (int first = 0; first < VECTOR; first += elements) {
      T part[elements];
#pragma unroll
      for (int v = 0; v < elements; ++v) part[v] = static_cast<T>(from[first + v]);
      Word word;
      memcpy(&word, part, sizeof(Word));
      *reinterpret_cast<Word*>(to + first) = word;
    }
  }
}

// Splits off the remainder of a division: returns n % by, leaves n / by in n.
__host__ __device__ __forceinline__ int take(int64_t& n, int by) {
  const int remainder = static_cast<int>(n % by);
  n /= by;
  return remainder;
}

}  // namespace pixelpretext
