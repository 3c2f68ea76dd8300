// What the forward and the backward pass of the joint bilateral filters have in common: keys, softmax, matrices, bands.
//
// A block works on a tile of pixels; a team of four threads shares a pixel, one in each warp, so that a warp always
// does the same for 32 (or fewer) pixels. Intermediate vectors of a pixel (softmax, hidden layer) are columns in shared
// memory, entries of one column are divided among its team.
#pragma once

#include "cuda/common.cuh"
#include "cuda/filters_plan.h"

namespace pixelpretext {

// Inputs of the kernels, all contiguous; null where absent.
template <typename S>
struct FilterInputs {
  const S *keys, *temperature, *sigma, *guidance, *weight1, *bias1, *weight2, *bias2, *keep, *rows, *cols;
};

// The tile of a block and the pixel of a thread in it.
struct Place {
  int64_t image;
  int top, left;    // of the tile
  int pixel, team;  // of the thread: which pixel of the tile, which of its team
  int row, column;  // of the pixel, in the whole map
  bool valid;       // the pixel lies in the map
};

template <int PIXELS>
__device__ __forceinline__ Place find_place(const FilterPlan& p, int64_t tile, int height, int width) {
  Place at{};
  at.left = take(tile, p.tiles_across) * p.tile_columns;
  at.top = take(tile, p.tiles_down) * p.tile_rows;
  at.image = tile;
  at.pixel = threadIdx.x % PIXELS;
  at.team = threadIdx.x / PIXELS;
  at.row = at.top + at.pixel / p.tile_columns;
  at.column = at.left + at.pixel % p.tile_columns;
  at.valid = at.row < height && at.column < width;
  return at;
}

// Copies channels [first, first + kDepth) of the keys a tile sees, from position (top, left), zeros where there are
// none; four channels of a position lie together: (channel / 4, row, column, channel % 4).
template <int PIXELS, typename S>
__device__ void load_keys(const FilterShape& s, const FilterPlan& p, const S* keys, const Place& at, int top, int left,
                          int first, S* to) {
  const int height = p.tile_rows + 2 * s.radius, width = p.tile_columns + 2 * s.radius;
  const int key_height = s.height + 2 * s.radius, key_width = s.width + 2 * s.radius;
  for (int place = threadIdx.x; place < height * width * kDepth; place += PIXELS * kTeam) {
    const int column = place % width, rest = place / width, row = rest % height, channel = rest / height;
    const int y = top + row, x = left + column;
    const bool inside = y >= 0 && y < key_height && x >= 0 && x < key_width && first + channel < s.depth;
    const int64_t plane = at.image * s.depth + first + channel;
    to[((channel / 4 * height + row) * width + column) * 4 + channel % 4] =
        inside ? keys[(plane * key_height + y) * key_width + x] : S(0);
  }
}

// Adds the inner products of one block of channels to a pixel's column of taps (own taps only).
template <int PIXELS, typename S>
__device__ void add_dots(const FilterShape& s, const FilterPlan& p, const Place& at, const S* tile, bool fresh,
                         S* column) {
  const int height = p.tile_rows + 2 * s.radius, width = p.tile_columns + 2 * s.radius;
  const Quad<S>* own = reinterpret_cast<const Quad<S>*>(tile) + (at.row - at.top) * width + at.column - at.left;
  Quad<S> centre[kDepth / 4];
#pragma unroll
  for (int d = 0; d < kDepth / 4; ++d) centre[d] = own[(d * height + s.radius) * width + s.radius];
  for (int t = at.team; t < s.taps(); t += kTeam) {
    const Quad<S>* other = own + t / s.side() * width + t % s.side();
    S sum = fresh ? S(0) : column[t * (PIXELS + 1)];
#pragma unroll
    for (int d = 0; d < kDepth / 4; ++d) {
      const Quad<S> key = other[d * height * width];
#pragma unroll
      for (int v = 0; v < 4; ++v) sum += centre[d].value[v] * key.value[v];
    }
    column[t * (PIXELS + 1)] = sum;
  }
}

// ‖u_q‖² of a tap, in units of the radius.
template <typename S>
__device__ __forceinline__ S squared_offset(const FilterShape& s, int tap) {
  const int i = tap / s.side() - s.radius, j = tap % s.side() - s.radius, r = s.radius > 0 ? s.radius : 1;
  return static_cast<S>(i * i + j * j) / static_cast<S>(r * r);
}

// Turns inner products, in place, into the softmax over taps; `scratch` holds 2·team numbers per pixel. Ends in step.
template <int PIXELS, typename S>
__device__ void softmax(const FilterShape& s, const Place& at, S temperature, S sigma, S* column, S* scratch) {
  const S narrow = S(-1) / (2 * sigma * sigma);
  S most = -INFINITY;
  for (int t = at.team; t < s.taps(); t += kTeam) {
    const S logit = temperature * column[t * (PIXELS + 1)] + squared_offset<S>(s, t) * narrow;
    column[t * (PIXELS + 1)] = logit;
    most = logit > most ? logit : most;
  }
  scratch[at.team * PIXELS + at.pixel] = most;
  __syncthreads();
  for (int k = 0; k < kTeam; ++k) {
    const S other = scratch[k * PIXELS + at.pixel];
    most = other > most ? other : most;
  }
  S sum = 0;
  for (int t = at.team; t < s.taps(); t += kTeam) {
    const S power = exp(column[t * (PIXELS + 1)] - most);
    column[t * (PIXELS + 1)] = power;
    sum += power;
  }
  S* sums = scratch + kTeam * PIXELS;
  sums[at.team * PIXELS + at.pixel] = sum;
  __syncthreads();
  sum = 0;
  for (int k = 0; k < kTeam; ++k) sum += sums[k * PIXELS + at.pixel];
  for (int t = at.team; t < s.taps(); t += kTeam) column[t * (PIXELS + 1)] /= sum;
  __syncthreads();
}

// A matrix that columns are multiplied by: `outputs` × `inputs`, element (o, i) at o·output_step + i·input_step. Staged
// in shared memory it is (inputs, outputs rounded up to four, zeros there).
template <typename S>
struct Matrix {
  const S* data;
  int outputs, inputs, output_step, input_step;
};

template <int PIXELS, typename S>
__device__ Matrix<S> stage(const Matrix<S>& m, S* to) {
  const int padded = round4(m.outputs);
  for (int place = threadIdx.x; place < m.inputs * padded; place += PIXELS * kTeam) {
    const int o = place % padded, i = place / padded;
    to[place] = o < m.outputs ? m.data[o * m.output_step + i * m.input_step] : S(0);
  }
  return Matrix<S>{to, m.outputs, m.inputs, 1, padded};
}

template <bool STAGED, typename S>
__device__ __forceinline__ Quad<S> read_quad(const Matrix<S>& m, int input, int output) {
  if constexpr (STAGED) {
    return *reinterpret_cast<const Quad<S>*>(m.data + input * m.input_step + output);
  } else {
    Quad<S> quad;
    for (int k = 0; k < 4; ++k) {
      quad.value[k] = output + k < m.outputs ? m.data[(output + k) * m.output_step + input * m.input_step] : S(0);
    }
    return quad;
  }
}

// QUADS · 4 outputs of multiply(), those from `first` on in steps of a team: each number read serves them all.
template <int PIXELS, bool STAGED, int QUADS, typename S, typename Write>
__device__ __forceinline__ void multiply_quads(const Matrix<S>& m, const S* column, int first, const Write& write) {
  S sums[QUADS][4] = {};
#pragma unroll 4
  for (int i = 0; i < m.inputs; ++i) {
    const S value = column[i * (PIXELS + 1)];
#pragma unroll
    for (int k = 0; k < QUADS; ++k) {
      const Quad<S> weights = read_quad<STAGED>(m, i, first + k * 4 * kTeam);
#pragma unroll
      for (int v = 0; v < 4; ++v) sums[k][v] += weights.value[v] * value;
    }
  }
#pragma unroll
  for (int k = 0; k < QUADS; ++k) {
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      const int output = first + k * 4 * kTeam + v;
      if (output < m.outputs) write(output, sums[k][v]);
    }
  }
}

// Multiplies a pixel's column: calls write(o, Σ_i m[o, i]·column[i]) for the thread's own share of the outputs.
template <int PIXELS, bool STAGED, typename S, typename Write>
__device__ __forceinline__ void multiply(const Matrix<S>& m, const S* column, int team, const Write& write) {
  constexpr int step = 4 * kTeam;
  int first = 4 * team;
  for (; first + 3 * step < m.outputs; first += 4 * step) multiply_quads<PIXELS, STAGED, 4>(m, column, first, write);
  if (first + 2 * step < m.outputs) {
    multiply_quads<PIXELS, STAGED, 3>(m, column, first, write);
  } else {
    for (; first < m.outputs; first += step) multiply_quads<PIXELS, STAGED, 1>(m, column, first, write);
  }
}

// Copies the bands of a tile: rows of its rows, then columns of its columns, each (side, low); zeros beyond the map.
template <int PIXELS, typename S>
__device__ void load_bands(const FilterShape& s, const FilterPlan& p, const FilterInputs<S>& in, const Place& at,
                           S* to) {
  const int each = s.side() * s.low;
  for (int place = threadIdx.x; place < (p.tile_rows + p.tile_columns) * each; place += PIXELS * kTeam) {
    const int line = place / each, entry = place % each;
    const bool is_row = line < p.tile_rows;
    const int index = is_row ? at.top + line : at.left + line - p.tile_rows;
    const bool inside = index < (is_row ? s.height : s.width);
    to[place] = inside ? (is_row ? in.rows : in.cols)[static_cast<int64_t>(index) * each + entry] : S(0);
  }
}

// Fills a pixel's column with Σ_ab left(a, i)·from[a, b]·right(b, j) for all (i, j) of n × n, from being m × m;
// `middle` is another column. Both steps are divided among the team, with a barrier between them and one at the end.
template <int PIXELS, typename S, typename Left, typename Right>
__device__ __forceinline__ void fold(int m, int n, const Place& at, const S* from, S* middle, S* to, const Left& left,
                                     const Right& right) {
  for (int e = at.team; e < m * n; e += kTeam) {  // middle[a, j]
    const int a = e / n, j = e % n;
    S sum = 0;
    for (int b = 0; b < m; ++b) sum += from[(a * m + b) * (PIXELS + 1)] * right(b, j);
    middle[e * (PIXELS + 1)] = sum;
  }
  __syncthreads();
  for (int e = at.team; e < n * n; e += kTeam) {
    const int i = e / n, j = e % n;
    S sum = 0;
    for (int a = 0; a < m; ++a) sum += left(a, i) * middle[(a * n + j) * (PIXELS + 1)];
    to[e * (PIXELS + 1)] = sum;
  }
  __syncthreads();
}

// Copies (pixel, entry) between a map (B, H, W, entries) and columns: neighbouring threads, neighbouring entries.
template <int PIXELS, typename Copy>
__device__ __forceinline__ void for_entries(const FilterShape& s, const FilterPlan& p, const Place& at, int entries,
                                            const Copy& copy) {
  for (int place = threadIdx.x; place < PIXELS * entries; place += PIXELS * kTeam) {
    const int pixel = place / entries, entry = place % entries;
    const int row = at.top + pixel / p.tile_columns, column = at.left + pixel % p.tile_columns;
    const bool inside = row < s.height && column < s.width;
    copy(pixel, entry, inside ? ((at.image * s.height + row) * s.width + column) * entries + entry : int64_t(-1));
  }
}

template <typename S>
__device__ __forceinline__ S gelu(S x) {
  return x * (1 + erf(x * S(0.7071067811865476))) / 2;
}

}  // namespace pixelpretext
