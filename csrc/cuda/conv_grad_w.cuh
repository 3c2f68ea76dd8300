// adaptive_conv_grad_w: ∂w[b, Y, X, i, j] = Σ_c ∂y[b, Y, X, c] · x[b, ⌊Y/f⌋ + i − p, ⌊X/f⌋ + j − p, c].
//
// Eight threads share an item: one row of the filters (up to seven taps) of four pixels. They divide the channels among
// them, so that every load is a whole cache line, keep 28 sums in registers and add these up by shuffles at the very
// end, in a fixed order. Eleven 16-byte loads (7 of x, 4 of ∂y) feed 224 multiply-adds. The rows of a filter are
// neighbouring items of the same block: ∂y comes from memory once, then from the first-level cache. Bytes:
// e·(C·H·W + K²·H·W) and x about twice from the second-level cache.
#pragma once

#include "cuda/conv_forward.cuh"

namespace pixelpretext {

// Row `row` of the filters of an item, taps [column, column + taps).
struct FilterRow {
  Item item;
  int row, column, taps;
};

__device__ __forceinline__ FilterRow find_filter_row(const ConvShape& s, const ConvPlan& p, int strip) {
  int64_t rest = static_cast<int64_t>(blockIdx.x) * p.items + threadIdx.x / p.lanes;
  const int part = take(rest, p.slab_rows);
  FilterRow found{};
  found.column = part * p.slab_columns;
  found.taps = min(p.slab_columns, s.kernel - found.column);
  found.row = take(rest, s.kernel);
  found.item.group = take(rest, p.groups);
  found.item.column = take(rest, (s.width + strip - 1) / strip) * strip;
  found.item.row = take(rest, s.height);
  found.item.image = rest;
  found.item.valid = rest < s.batch;
  return found;
}

// Where an item reads: ∂y at its four pixels (null where there is none), x at the first column of its window.
template <typename T>
struct Sources {
  const T* grad[4];
  const T* x;
};

template <int PHASES, typename T>
__device__ __forceinline__ Sources<T> find_sources(const ConvShape& s, const FilterRow& f, const T* grad, const T* x) {
  Sources<T> found{};
#pragma unroll
  for (int q = 0; q < 4; ++q) {
    const int64_t pixel = find_pixel<PHASES>(s, f.item, q);
    found.grad[q] = pixel < 0 ? nullptr : grad + pixel * s.channels;
  }
  const int y = f.item.row + f.row - s.padding, left = f.item.column + f.column - s.padding;
  found.x = x + ((f.item.image * s.x_height + y) * s.x_width + left) * s.channels;
  return found;
}

// Adds the products of VECTOR channels from `channel` on.
template <int VECTOR, int PHASES, typename T>
__device__ __forceinline__ void add_products(const ConvShape& s, const FilterRow& f, const Sources<T>& from,
                                             int64_t channel, Sum<T> (&sums)[kGradWTaps][4]) {
  Sum<T> above[4][VECTOR];
#pragma unroll
  for (int q = 0; q < 4; ++q) {
    Raw<T, VECTOR> raw;
    raw.read_if(from.grad[q] != nullptr, from.grad[q] + channel);
    raw.widen(above[q]);
  }
  const int left = f.item.column + f.column - s.padding;
  const T* line = from.x + channel;
#pragma unroll
  for (int j = 0; j < kGradWTaps + 4 / PHASES - 1; ++j, line += s.channels) {
    Sum<T> values[VECTOR];
    Raw<T, VECTOR> raw;
    raw.read_if(left + j >= 0 && left + j < s.x_width && j < f.taps + 4 / PHASES - 1, line);
    raw.widen(values);
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const int tap = PHASES == 1 ? j - q : j;
      if (tap < 0 || tap >= kGradWTaps) continue;
#pragma unroll
      for (int v = 0; v < VECTOR; ++v) sums[tap][q] += above[q][v] * values[v];
    }
  }
}

template <typename T, int VECTOR, int PHASES>
__global__ void __launch_bounds__(kThreads) conv_grad_w(const ConvShape s, const ConvPlan p, const T* __restrict__ grad,
                                                        const T* __restrict__ x, T* __restrict__ w) {
  const int lane = threadIdx.x % p.lanes;
  const FilterRow f = find_filter_row(s, p, 4 / PHASES);
  Sum<T> sums[kGradWTaps][4] = {};
  const int y = f.item.row + f.row - s.padding;
  if (f.item.valid && y >= 0 && y < s.x_height) {
    const Sources<T> from = find_sources<PHASES>(s, f, grad, x);
    for (int64_t c = static_cast<int64_t>(lane) * VECTOR; c < s.channels; c += static_cast<int64_t>(p.lanes) * VECTOR) {
      add_products<VECTOR, PHASES>(s, f, from, c, sums);
    }
  }
#pragma unroll
  for (int q = 0; q < 4; ++q) {
    const int64_t pixel = find_pixel<PHASES>(s, f.item, q);
    T* filter = w + (pixel * s.kernel + f.row) * s.kernel + f.column;
#pragma unroll
    for (int j = 0; j < kGradWTaps; ++j) {
      Sum<T> sum = sums[j][q];
      for (int other = p.lanes / 2; other; other /= 2) sum += __shfl_xor_sync(kAllLanes, sum, other);
      if (pixel >= 0 && lane == j && j < f.taps) filter[j] = static_cast<T>(sum);
    }
  }
}

}  // namespace pixelpretext
