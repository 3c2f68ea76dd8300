// jbu_filters_backward, first part: everything but ∂keys, for which it leaves ∂logits (B, T, H, W) in memory.
//
// A block recomputes the forward pass of 8 × 8 pixels in shared memory and goes back through folding, fix-up and
// softmax there. Gradients of the parameters are sums over all pixels: kParts blocks take the tiles in turn, each block
// owns a row of partial sums, each number of it is added to by one thread only, and a second kernel adds the rows in
// order. So the result depends neither on timing nor on the card. Bytes for float32: 4·(3.1·D + 2·G + K² + 3·T) per
// pixel, and the partial sums, 8 · 5 000 · (tiles + kParts), which stay in the second-level cache.
#pragma once

#include "cuda/filters_forward.cuh"

namespace pixelpretext {

// Results of the backward pass; d_guidance and parameters are null without fix-up.
template <typename S>
struct FilterGradients {
  S *d_logits, *d_guidance;
  S* partial;  // (parts, parameters)
};

// ∂(kernel before folding) into the column `above`; uses the columns hidden and slope.
template <int PIXELS, typename S>
__device__ void load_above(const FilterShape& s, const FilterPlan& p, const Place& at, const S* grad, S* memory) {
  S* start = memory + (s.banded ? p.slope : p.above);
  for_entries<PIXELS>(s, p, at, s.low * s.low, [&](int pixel, int entry, int64_t from) {
    start[entry * (PIXELS + 1) + pixel] = from >= 0 ? grad[from] : S(0);
  });
  __syncthreads();
  if (!s.banded) return;
  const int each = s.side() * s.low;
  const S* rows = memory + p.bands + (at.row - at.top) * each;
  const S* cols = memory + p.bands + (p.tile_rows + at.column - at.left) * each;
  fold<PIXELS>(
      s.low, s.side(), at, start + at.pixel, memory + p.hidden + at.pixel, memory + p.above + at.pixel,
      [&](int k, int i) { return rows[i * s.low + k]; }, [&](int l, int j) { return cols[j * s.low + l]; });
}

// The hidden layer into its column, and ∂(hidden layer before GELU) into the column `slope`.
template <int PIXELS, bool STAGED, typename S>
__device__ void hidden_layer(const FilterShape& s, const FilterPlan& p, const FilterInputs<S>& in, const Place& at,
                             const Matrix<S>& first, const Matrix<S>& second_back, S* memory) {
  S* hidden = memory + p.hidden + at.pixel;
  S* slope = memory + p.slope + at.pixel;
  const S* keep = in.keep ? in.keep + at.image * s.taps() : nullptr;
  multiply<PIXELS, STAGED>(first, memory + p.soft + at.pixel, at.team, [&](int o, S sum) {
    const S before = sum + in.bias1[o], share = keep ? keep[o] : S(1);
    const S normal = exp(before * before / -2) * S(0.3989422804014327);  // density of the standard normal
    hidden[o * (PIXELS + 1)] = gelu(before) * share;
    slope[o * (PIXELS + 1)] = ((1 + erf(before * S(0.7071067811865476))) / 2 + before * normal) * share;
  });
  // The same thread has the same outputs again, so it reads back its own slopes.
  multiply<PIXELS, STAGED>(second_back, memory + p.above + at.pixel, at.team,
                           [&](int o, S sum) { slope[o * (PIXELS + 1)] *= S(0.1) * sum; });
  for (int end = at.team; end < 1; end += kTeam) {  // biases are weights of a constant input
    memory[p.soft + s.inputs() * (PIXELS + 1) + at.pixel] = 1;
    hidden[s.taps() * (PIXELS + 1)] = 1;
  }
  __syncthreads();
}

// Adds scale·Σ_pixels left[o]·right[i] to (outputs, inputs) sums of this block, a 4 × 4 square per thread at a time.
template <int PIXELS, typename S>
__device__ void add_outer(const S* left, int outputs, const S* right, int inputs, S scale, bool fresh, S* sums) {
  const int across = round4(inputs) / 4;
  for (int square = threadIdx.x; square < round4(outputs) / 4 * across; square += PIXELS * kTeam) {
    const int o = square / across * 4, i = square % across * 4;
    S sum[4][4] = {};
#pragma unroll 2
    for (int pixel = 0; pixel < PIXELS; ++pixel) {
      S a[4], b[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        a[k] = left[(o + k) * (PIXELS + 1) + pixel];
        b[k] = right[(i + k) * (PIXELS + 1) + pixel];
      }
#pragma unroll
      for (int k = 0; k < 16; ++k) sum[k / 4][k % 4] += a[k / 4] * b[k % 4];
    }
#pragma unroll
    for (int k = 0; k < 16; ++k) {
      if (o + k / 4 >= outputs || i + k % 4 >= inputs) continue;
      S& total = sums[static_cast<int64_t>(o + k / 4) * inputs + i + k % 4];
      total = (fresh ? S(0) : total) + scale * sum[k / 4][k % 4];
    }
  }
}

// Goes back through the fix-up: the column `above` becomes ∂softmax; ∂guidance and parameter sums are written.
template <int PIXELS, bool STAGED, typename S>
__device__ void fixup_back(const FilterShape& s, const FilterPlan& p, const FilterInputs<S>& in, const Place& at,
                           const Matrix<S> (&matrices)[3], bool fresh, const FilterGradients<S>& out, S* memory) {
  load_guidance<PIXELS>(s, in, at, memory + p.soft + at.pixel);
  __syncthreads();
  hidden_layer<PIXELS, STAGED>(s, p, in, at, matrices[0], matrices[1], memory);
  S* partial = out.partial + static_cast<int64_t>(blockIdx.x) * s.parameters();
  add_outer<PIXELS>(memory + p.slope, s.taps(), memory + p.soft, s.inputs() + 1, S(1), fresh, partial);
  add_outer<PIXELS>(memory + p.above, s.taps(), memory + p.hidden, s.taps() + 1, S(0.1), fresh,
                    partial + static_cast<int64_t>(s.taps()) * (s.inputs() + 1));
  __syncthreads();
  S* above = memory + p.above + at.pixel;
  multiply<PIXELS, STAGED>(matrices[2], memory + p.slope + at.pixel, at.team, [&](int i, S sum) {
    if (i < s.taps()) {
      above[i * (PIXELS + 1)] += sum;
    } else if (at.valid) {
      const int64_t plane = at.image * s.colours + i - s.taps();
      out.d_guidance[(plane * s.height + at.row) * s.width + at.column] = sum;
    }
  });
  __syncthreads();
}

// Reads or writes the scratch map (B, T, H, W) at one tap of a pixel.
template <typename S>
__device__ __forceinline__ S& tap_of(const FilterShape& s, const Place& at, S* map, int tap) {
  return map[((at.image * s.taps() + tap) * s.height + at.row) * s.width + at.column];
}

// Goes back through the softmax: writes ∂logits, adds what the pixel gives to ∂temperature and ∂(−1 / 2σ²).
template <int PIXELS, typename S>
__device__ void softmax_back(const FilterShape& s, const FilterPlan& p, const Place& at, S* dots, S* memory,
                             S& d_temperature, S& d_narrow) {
  const S* soft = memory + p.soft + at.pixel;
  const S* above = memory + p.above + at.pixel;
  S* sums = memory + p.sums;
  S inner = 0;
  for (int t = at.team; t < s.taps(); t += kTeam) inner += soft[t * (PIXELS + 1)] * above[t * (PIXELS + 1)];
  sums[at.team * PIXELS + at.pixel] = inner;
  __syncthreads();
  inner = 0;
  for (int k = 0; k < kTeam; ++k) inner += sums[k * PIXELS + at.pixel];
  for (int t = at.team; at.valid && t < s.taps(); t += kTeam) {
    const S d_logit = soft[t * (PIXELS + 1)] * (above[t * (PIXELS + 1)] - inner);
    S& dot = tap_of(s, at, dots, t);
    d_temperature += d_logit * dot;
    d_narrow += d_logit * squared_offset<S>(s, t);
    dot = d_logit;
  }
}

// Recomputes the softmax; the inner products stay in the scratch map until softmax_back.
template <int PIXELS, typename S>
__device__ void recompute(const FilterShape& s, const FilterPlan& p, const FilterInputs<S>& in, const Place& at,
                          S* dots, S* memory) {
  S* column = memory + p.soft + at.pixel;
  for (int first = 0; first < s.depth || first == 0; first += kDepth) {
    __syncthreads();
    load_keys<PIXELS>(s, p, in.keys, at, at.top, at.left, first, memory + p.keys);
    __syncthreads();
    add_dots<PIXELS>(s, p, at, memory + p.keys, first == 0, column);
  }
  for (int t = at.team; at.valid && t < s.taps(); t += kTeam) tap_of(s, at, dots, t) = column[t * (PIXELS + 1)];
  softmax<PIXELS>(s, at, *in.temperature, *in.sigma, column, memory + p.sums);
}

// Adds one number of each thread; the first thread gets the sum.
template <int PIXELS, typename S>
__device__ S block_sum(S value, S* scratch) {
  __syncthreads();
  scratch[threadIdx.x] = value;
  __syncthreads();
  if (threadIdx.x) return 0;
  S sum = 0;
  for (int k = 0; k < PIXELS * kTeam; ++k) sum += scratch[k];
  return sum;
}

template <typename S, int PIXELS, bool STAGED>
__global__ void __launch_bounds__(PIXELS* kTeam)
    filters_backward(const FilterShape s, const FilterPlan p, const FilterInputs<S> in, const S* __restrict__ grad,
                     const FilterGradients<S> out) {
  SHARED_MEMORY(S, memory);
  const int taps = s.taps(), inputs = s.inputs();
  Matrix<S> matrices[3] = {{in.weight1, taps, inputs, inputs, 1},
                           {in.weight2, taps, taps, 1, taps},
                           {in.weight1, inputs, taps, 1, inputs}};  // A₁, A₂ᵀ, A₁ᵀ
  if constexpr (STAGED) {
    S* to = memory + p.matrices;
    for (Matrix<S>& matrix : matrices) {
      matrix = stage<PIXELS>(matrix, to);
      to += matrix.inputs * matrix.input_step;
    }
  }
  S d_temperature = 0, d_narrow = 0;
  for (int64_t tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
    const Place at = find_place<PIXELS>(p, tile, s.height, s.width);
    __syncthreads();
    if (s.banded) load_bands<PIXELS>(s, p, in, at, memory + p.bands);
    recompute<PIXELS>(s, p, in, at, out.d_logits, memory);
    load_above<PIXELS>(s, p, at, grad, memory);
    if (s.fixup) fixup_back<PIXELS, STAGED>(s, p, in, at, matrices, tile == blockIdx.x, out, memory);
    softmax_back<PIXELS>(s, p, at, out.d_logits, memory, d_temperature, d_narrow);
  }
  S* last = out.partial + (static_cast<int64_t>(blockIdx.x) + 1) * s.parameters() - 2;
  d_temperature = block_sum<PIXELS>(d_temperature, memory + p.sums);
  d_narrow = block_sum<PIXELS>(d_narrow, memory + p.sums);
  if (threadIdx.x == 0) {
    last[0] = d_temperature;
    last[1] = d_narrow;
  }
}

// Where sums over all parts go: ∂A₁, ∂a₁, ∂A₂, ∂a₂ (null without fix-up), ∂temperature, ∂sigma.
template <typename S>
struct ParameterGradients {
  S *weight1, *bias1, *weight2, *bias2, *temperature, *sigma;
};

// Adds the parts, one parameter per thread, in order and in double precision.
template <typename S>
__global__ void __launch_bounds__(kThreads)
    add_parts(const FilterShape s, const S* __restrict__ partial, const S* __restrict__ sigma, int parts,
              int64_t parameters, const ParameterGradients<S> out) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= parameters) return;
  double total = 0;
  for (int part = 0; part < parts; ++part) total += static_cast<double>(partial[part * parameters + index]);
  const S sum = static_cast<S>(total);
  const int columns1 = s.inputs() + 1, columns2 = s.taps() + 1;
  const int64_t first = parameters > 2 ? static_cast<int64_t>(s.taps()) * columns1 : 0;
  const int64_t other = index - first, row = index / columns1, row2 = other / columns2;
  if (index == parameters - 2) {
    *out.temperature = sum;
  } else if (index == parameters - 1) {  // −1 / 2σ² grows by σ⁻³ with σ
    *out.sigma = static_cast<S>(total / (static_cast<double>(*sigma) * *sigma * *sigma));
  } else if (index < first) {
    const int64_t column = index % columns1;
    (column < s.inputs() ? out.weight1[row * s.inputs() + column] : out.bias1[row]) = sum;
  } else {
    const int64_t column = other % columns2;
    (column < s.taps() ? out.weight2[row2 * s.taps() + column] : out.bias2[row2]) = sum;
  }
}

}  // namespace pixelpretext
