// adaptive_conv_grad_x: ∂x[b, m, n, c] = Σ_ij Σ_(pixels of cell (m − i + p, n − j + p)) w[pixel, i, j] · ∂y[pixel, c].
//
// Gathered, so nothing is added atomically and runs repeat bit for bit. Sixteen threads share an item, four elements
// of a row of x, eight channels each: a 16-byte load of ∂y is used for all four, because a pixel sees them as four
// neighbouring taps of one row of its filter, and these four lie side by side in shared memory: 32 multiply-adds for
// each load. The filters are laid out by (item, source pixel, element) there once per block, or in slabs where the
// filter or the factor is large, and kept in their own type. Bytes: e·(C·H·W + K²·H·W + C·h·w) from memory; ∂y passes
// the first-level cache about 2.5·K/4 times more.
#pragma once

#include "cuda/conv_forward.cuh"

namespace pixelpretext {

// A source of an item: row i of the filters, step s along the row of cells, first phase (α, β) of a group of pixels.
struct Source {
  int i, s, alpha, beta;
};

__device__ __forceinline__ Source find_source(const ConvShape& s, int64_t index, int groups, int phases) {
  const int phase = take(index, groups) * phases, place = static_cast<int>(index);
  return Source{place / (s.kernel + 3), place % (s.kernel + 3), phase / s.factor, phase % s.factor};
}

// Index in (B, H, W) of the first pixel of a source's cell, −1 where there is no cell.
__device__ __forceinline__ int64_t source_corner(const ConvShape& s, const Item& item, const Source& at) {
  const int row = item.row + s.padding - at.i, column = item.column + s.padding - (s.kernel - 1) + at.s;
  if (row < 0 || row >= s.height || column < 0 || column >= s.width) return -1;
  return ((item.image * s.height + row) * s.factor * s.width + column) * s.factor;
}

// How far the source's own pixel is from there.
__device__ __forceinline__ int64_t source_offset(const ConvShape& s, const Source& at) {
  return static_cast<int64_t>(at.alpha) * s.factor * s.width + at.beta;
}

__device__ __forceinline__ void next_phase(const ConvShape& s, Source& at) {
  if (++at.beta == s.factor) {
    at.beta = 0;
    ++at.alpha;
  }
}

// Copies what sources [first, first + count) give to each of the four elements: (item, source, pixel, element).
template <int PHASES, typename T>
__device__ void load_taps(const ConvShape& s, const ConvPlan& p, int groups, const T* w, int64_t first, int count,
                          T* to) {
  for (int place = threadIdx.x; place < p.items * count * PHASES; place += kThreads) {
    const int index = place / PHASES % count, slot = place / PHASES / count;
    const Item item = find_item(p, slot, 4, s.x_height, s.x_width);
    Source at = find_source(s, first + index, groups, PHASES);
    for (int q = 0; q < place % PHASES; ++q) next_phase(s, at);
    const int64_t corner = item.valid && at.alpha < s.factor ? source_corner(s, item, at) : -1;
    const int64_t pixel = corner < 0 ? -1 : corner + source_offset(s, at);
    const T* row = w + (pixel * s.kernel + at.i) * s.kernel;
    for (int r = 0; r < 4; ++r) {
      const int j = r + s.kernel - 1 - at.s;
      to[static_cast<int64_t>(place) * 4 + r] = pixel >= 0 && j >= 0 && j < s.kernel ? row[j] : static_cast<T>(0);
    }
  }
}

// Four filter values, read at once.
template <typename T>
struct alignas(sizeof(T) * 4 < 16 ? sizeof(T) * 4 : 16) Taps {
  T value[4];
};

// Adds sources [first, first + count); FACTOR is the factor if known, else 0.
template <int VECTOR, int PHASES, int FACTOR, typename T>
__device__ __forceinline__ void add_sources(const ConvShape& s, const Item& item, int groups, const T* grad,
                                            const T* taps, int64_t first, int count, Sum<T> (&sums)[4][VECTOR]) {
  Source at = find_source(s, first, groups, PHASES);
  const Taps<T>* own = reinterpret_cast<const Taps<T>*>(taps);
  for (int index = 0; index < count; ++index, own += PHASES) {
    const int64_t corner = source_corner(s, item, at);
    const T* cell = grad + corner * s.channels;
    Raw<T, VECTOR> raw[PHASES];
#pragma unroll
    for (int q = 0; q < PHASES; ++q) {
      if constexpr (FACTOR) at.alpha = q / FACTOR, at.beta = q % FACTOR;
      raw[q].read_if(corner >= 0 && at.alpha < s.factor, cell + source_offset(s, at) * s.channels);
      if constexpr (!FACTOR) next_phase(s, at);
    }
#pragma unroll
    for (int q = 0; q < PHASES; ++q) {
      const Taps<T> weights = own[q];
      Sum<T> above[VECTOR];
      raw[q].widen(above);
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const Sum<T> weight = static_cast<Sum<T>>(weights.value[r]);
#pragma unroll
        for (int v = 0; v < VECTOR; ++v) sums[r][v] += weight * above[v];
      }
    }
    if (FACTOR || at.alpha >= s.factor) {
      at.alpha = at.beta = 0;
      if (++at.s == s.kernel + 3) at.s = 0, ++at.i;
    }
  }
}

template <typename T, int VECTOR, int PHASES, int FACTOR>
__global__ void __launch_bounds__(kThreads, 2)
    conv_grad_x(const ConvShape s, const ConvPlan p, const T* __restrict__ grad, const T* __restrict__ w,
                T* __restrict__ x) {
  SHARED_MEMORY(T, taps);
  const int groups = (s.factor * s.factor + PHASES - 1) / PHASES;
  const int64_t sources = static_cast<int64_t>(s.kernel) * (s.kernel + 3) * groups;
  const int slot = threadIdx.x / p.lanes, lane = threadIdx.x % p.lanes;
  const Item item = find_item(p, slot, 4, s.x_height, s.x_width);
  const int begin = static_cast<int>(blockIdx.x % p.splits) * p.chunks;
  for (int chunk = begin; chunk < begin + p.chunks; ++chunk) {
    const int64_t channel = (static_cast<int64_t>(chunk) * p.lanes + lane) * VECTOR;
    const bool active = item.valid && channel < s.channels;
    Sum<T> sums[4][VECTOR] = {};
    for (int64_t first = 0; first < sources; first += p.slab) {
      const int count = sources - first < p.slab ? static_cast<int>(sources - first) : p.slab;
      if (p.slab < sources || chunk == begin) {
        __syncthreads();
        load_taps<PHASES>(s, p, groups, w, first, count, taps);
        __syncthreads();
      }
      if (!active) continue;
      const T* own = taps + static_cast<int64_t>(slot) * count * PHASES * 4;
      add_sources<VECTOR, PHASES, FACTOR>(s, item, groups, grad + channel, own, first, count, sums);
    }
    if (!active) continue;
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      if (item.column + r >= s.x_width) continue;
      const int64_t element = (item.image * s.x_height + item.row) * s.x_width + item.column + r;
      store<VECTOR>(x + element * s.channels + channel, sums[r]);
    }
  }
}

}  // namespace pixelpretext
