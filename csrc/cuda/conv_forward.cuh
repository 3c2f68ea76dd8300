// adaptive_conv: y[b, Y, X, c] = Σ_ij w[b, Y, X, i, j] · x[b, ⌊Y/f⌋ + i − p, ⌊X/f⌋ + j − p, c] + bias[c].
//
// A block holds the filters of a tile of pixels in shared memory, as sums' type, and walks over the channels. Eight
// threads share an item of four pixels, each with eight channels of its own: one 16-byte load of x (one cache line per
// item, tiles are small enough to stay in the first-level cache) and one broadcast of four filter values feed 32
// multiply-adds. With f > 1 the four pixels belong to one cell and see the same window; with f = 1 they are
// neighbours and share all of it but the ends. Bytes from memory: x, w (once per part of the channels) and y, once
// each; e·(C·h·w + K²·H·W + C·H·W) for elements of e bytes, apart from the rims of tiles, which come from the
// second-level cache.
#pragma once

#include "cuda/common.cuh"
#include "cuda/conv_plan.h"

namespace pixelpretext {

// Where an item lies: image, row, first column of cells (of x in grad_x), group of pixels in the cell.
struct Item {
  int64_t image;
  int row, column, group;
  bool valid;
};

// Finds item `slot` of this block; `strip` cells lie in a row.
__device__ __forceinline__ Item find_item(const ConvPlan& p, int slot, int strip, int height, int width) {
  int64_t rest = static_cast<int64_t>(blockIdx.x) / p.splits;
  const int group_block = take(rest, p.group_blocks);
  const int across = take(rest, p.tiles_across);
  const int down = take(rest, p.tiles_down);
  const int place = slot / p.block_groups;
  Item item{rest, down * p.rows + place / p.columns, (across * p.columns + place % p.columns) * strip,
            group_block * p.block_groups + slot % p.block_groups, false};
  item.valid = place < p.rows * p.columns && item.row < height && item.column < width && item.group < p.groups;
  return item;
}

// Index of pixel q (of four) of an item in (B, H, W), −1 where there is none.
template <int PHASES>
__device__ __forceinline__ int64_t find_pixel(const ConvShape& s, const Item& item, int q) {
  if (!item.valid) return -1;
  const int64_t width = static_cast<int64_t>(s.factor) * s.width;
  if constexpr (PHASES == 1) {
    if (item.column + q >= s.width) return -1;
    return (item.image * s.height + item.row) * width + item.column + q;
  } else {
    const int phase = item.group * 4 + q;
    if (phase >= s.factor * s.factor) return -1;
    const int64_t row = (item.image * s.height + item.row) * s.factor + phase / s.factor;
    return row * width + static_cast<int64_t>(item.column) * s.factor + phase % s.factor;
  }
}

// Copies taps [first, first + count) of the filters of all pixels of the block: (item, tap, pixel of four).
template <int PHASES, typename T>
__device__ void load_filters(const ConvShape& s, const ConvPlan& p, const T* w, int64_t first, int count, Sum<T>* to) {
  constexpr int strip = 4 / PHASES;
  const int64_t taps = static_cast<int64_t>(s.kernel) * s.kernel;
  for (int place = threadIdx.x / kWarp; place < p.items * 4; place += kThreads / kWarp) {
    const int slot = place / 4;
    const int64_t pixel = find_pixel<PHASES>(s, find_item(p, slot, strip, s.height, s.width), place % 4);
    for (int t = threadIdx.x % kWarp; t < count; t += kWarp) {
      to[(slot * count + t) * 4 + place % 4] = pixel < 0 ? Sum<T>(0) : static_cast<Sum<T>>(w[pixel * taps + first + t]);
    }
  }
}

// One column of the window (it is tap s − r of pixel r where the pixels lie in a row).
template <int VECTOR, int PHASES, typename S>
__device__ __forceinline__ void add_column(const S* filters, int column, int taps, const S (&x)[VECTOR],
                                           S (&sums)[4][VECTOR]) {
  if constexpr (PHASES == 4) {
    const Quad<S> weights = *reinterpret_cast<const Quad<S>*>(filters + column * 4);
#pragma unroll
    for (int q = 0; q < 4; ++q) {
#pragma unroll
      for (int v = 0; v < VECTOR; ++v) sums[q][v] += weights.value[q] * x[v];
    }
  } else {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      if (column - q < 0 || column - q >= taps) continue;
      const S weight = filters[(column - q) * 4 + q];
#pragma unroll
      for (int v = 0; v < VECTOR; ++v) sums[q][v] += weight * x[v];
    }
  }
}

// Adds filter rows [row, row + rows), columns [column, column + columns); KERNEL is their number if known, else 0.
template <int VECTOR, int PHASES, int KERNEL, typename T>
__device__ __forceinline__ void add_taps(const ConvShape& s, const Item& item, const T* x, const Sum<T>* filters,
                                         int row, int rows, int column, int columns, Sum<T> (&sums)[4][VECTOR]) {
  constexpr int all = KERNEL + 4 / PHASES - 1;
  constexpr int ahead = KERNEL && sizeof(T) == 2 ? all : 4;  // loads under way at once, as registers allow
  const int taps = KERNEL ? KERNEL : columns;
  const int left = item.column + column - s.padding;
  for (int i = 0; i < rows; ++i, filters += taps * 4) {
    const int y = item.row + row + i - s.padding;
    if (y < 0 || y >= s.x_height) continue;
    const T* line = x + ((item.image * s.x_height + y) * s.x_width + left) * s.channels;
#pragma unroll
    for (int first = 0; first < taps + 4 / PHASES - 1; first += ahead) {
      Raw<T, VECTOR> raw[ahead];
#pragma unroll
      for (int j = 0; j < ahead; ++j, line += s.channels) {
        const int at = left + first + j;
        raw[j].read_if(at >= 0 && at < s.x_width && first + j < taps + 4 / PHASES - 1, line);
      }
#pragma unroll
      for (int j = 0; j < ahead; ++j) {
        if (first + j >= taps + 4 / PHASES - 1) continue;
        Sum<T> values[VECTOR];
        raw[j].widen(values);
        add_column<VECTOR, PHASES>(filters, first + j, taps, values, sums);
      }
    }
  }
}

template <typename T, int VECTOR, int PHASES, int KERNEL>
__global__ void __launch_bounds__(kThreads, 2)
    conv_forward(const ConvShape s, const ConvPlan p, const T* __restrict__ x, const T* __restrict__ w,
                 const T* __restrict__ bias, T* __restrict__ y) {
  SHARED_MEMORY(Sum<T>, filters);
  const int slot = threadIdx.x / p.lanes, lane = threadIdx.x % p.lanes;
  const Item item = find_item(p, slot, 4 / PHASES, s.height, s.width);
  const bool whole = p.slab == s.kernel * s.kernel;
  if (whole) {
    load_filters<PHASES>(s, p, w, 0, p.slab, filters);
    __syncthreads();
  }
  const int first = static_cast<int>(blockIdx.x % p.splits) * p.chunks;
  for (int chunk = first; chunk < first + p.chunks; ++chunk) {
    const int64_t channel = (static_cast<int64_t>(chunk) * p.lanes + lane) * VECTOR;
    const bool active = item.valid && channel < s.channels;
    Sum<T> sums[4][VECTOR] = {};
    if (bias && active) {
#pragma unroll
      for (int v = 0; v < VECTOR; ++v) {
        const Sum<T> constant = static_cast<Sum<T>>(bias[channel + v]);
#pragma unroll
        for (int q = 0; q < 4; ++q) sums[q][v] = constant;
      }
    }
    for (int row = 0; row < s.kernel; row += p.slab_rows) {
      const int rows = min(p.slab_rows, s.kernel - row);
      for (int column = 0; column < s.kernel; column += p.slab_columns) {
        const int columns = min(p.slab_columns, s.kernel - column);
        if (!whole) {
          __syncthreads();
          load_filters<PHASES>(s, p, w, static_cast<int64_t>(row) * s.kernel + column, rows * columns, filters);
          __syncthreads();
        }
        if (!active) continue;
        const Sum<T>* own = filters + static_cast<int64_t>(slot) * rows * columns * 4;
        add_taps<VECTOR, PHASES, KERNEL>(s, item, x + channel, own, row, rows, column, columns, sums);
      }
    }
    if (!active) continue;
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const int64_t pixel = find_pixel<PHASES>(s, item, q);
      if (pixel >= 0) store<VECTOR>(y + pixel * s.channels + channel, sums[q]);
    }
  }
}

}  // namespace pixelpretext
