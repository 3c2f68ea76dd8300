// jbu_filters: the filters of one joint bilateral level in one pass over the pixels.
//
// A block takes 8 × 8 pixels. The keys they see, 14 × 14 × 32 numbers, are read into shared memory once (25 KB);
// logits, softmax, both layers of the fix-up (matrices in shared memory, 22 KB; a thread makes 16 outputs from each
// number it reads) and the folding with the bands run on columns there (13 KB each), nothing between keys and filters
// goes to memory. Bytes for float32: 4·(3.1·D + G + K²) per pixel, the 3.1 for the rims of tiles, which mostly come
// from the second-level cache. For large radii blocks of 8 pixels read the matrices from memory.
#pragma once

#include "cuda/filters_common.cuh"

namespace pixelpretext {

// Softmax of a tile's pixels into their columns; barriers at both ends.
template <int PIXELS, typename S>
__device__ void compute_softmax(const FilterShape& s, const FilterPlan& p, const FilterInputs<S>& in, const Place& at,
                                S* memory) {
  S* column = memory + p.soft + at.pixel;
  for (int first = 0; first < s.depth || first == 0; first += kDepth) {
    __syncthreads();
    load_keys<PIXELS>(s, p, in.keys, at, at.top, at.left, first, memory + p.keys);
    __syncthreads();
    add_dots<PIXELS>(s, p, at, memory + p.keys, first == 0, column);
  }
  softmax<PIXELS>(s, at, *in.temperature, *in.sigma, column, memory + p.sums);
}

// Puts the guidance below the softmax: what the first layer of the fix-up sees.
template <int PIXELS, typename S>
__device__ void load_guidance(const FilterShape& s, const FilterInputs<S>& in, const Place& at, S* column) {
  for (int g = at.team; g < s.colours; g += kTeam) {
    const int64_t plane = at.image * s.colours + g;
    column[(s.taps() + g) * (PIXELS + 1)] =
        at.valid ? in.guidance[(plane * s.height + at.row) * s.width + at.column] : S(0);
  }
}

// softmax += 0.1·(A₂·(keep ⊙ GELU(A₁·[softmax; guidance] + a₁)) + a₂), in place.
template <int PIXELS, bool STAGED, typename S>
__device__ void correct(const FilterShape& s, const FilterPlan& p, const FilterInputs<S>& in, const Place& at,
                        const Matrix<S>& first, const Matrix<S>& second, S* memory) {
  S* column = memory + p.soft + at.pixel;
  S* hidden = memory + p.hidden + at.pixel;
  load_guidance<PIXELS>(s, in, at, column);
  __syncthreads();
  const S* keep = in.keep ? in.keep + at.image * s.taps() : nullptr;
  multiply<PIXELS, STAGED>(first, column, at.team, [&](int o, S sum) {
    hidden[o * (PIXELS + 1)] = gelu(sum + in.bias1[o]) * (keep ? keep[o] : S(1));
  });
  __syncthreads();
  multiply<PIXELS, STAGED>(second, hidden, at.team,
                           [&](int o, S sum) { column[o * (PIXELS + 1)] += S(0.1) * (sum + in.bias2[o]); });
  __syncthreads();
}

template <typename S, int PIXELS, bool STAGED>
__global__ void __launch_bounds__(PIXELS* kTeam)
    filters_forward(const FilterShape s, const FilterPlan p, const FilterInputs<S> in, S* __restrict__ filters) {
  SHARED_MEMORY(S, memory);
  const Place at = find_place<PIXELS>(p, blockIdx.x, s.height, s.width);
  Matrix<S> first{in.weight1, s.taps(), s.inputs(), s.inputs(), 1}, second{in.weight2, s.taps(), s.taps(), s.taps(), 1};
  if constexpr (STAGED) {
    first = stage<PIXELS>(first, memory + p.matrices);
    second = stage<PIXELS>(second, memory + p.matrices + s.inputs() * round4(s.taps()));
  }
  if (s.banded) load_bands<PIXELS>(s, p, in, at, memory + p.bands);
  compute_softmax<PIXELS>(s, p, in, at, memory);
  if (s.fixup) correct<PIXELS, STAGED>(s, p, in, at, first, second, memory);
  if (s.banded) {
    const int each = s.side() * s.low;
    const S* rows = memory + p.bands + (at.row - at.top) * each;
    const S* cols = memory + p.bands + (p.tile_rows + at.column - at.left) * each;
    S* column = memory + p.soft + at.pixel;
    fold<PIXELS>(
        s.side(), s.low, at, column, memory + p.hidden + at.pixel, column,
        [&](int i, int k) { return rows[i * s.low + k]; }, [&](int j, int l) { return cols[j * s.low + l]; });
  }
  for_entries<PIXELS>(s, p, at, s.low * s.low, [&](int pixel, int entry, int64_t to) {
    if (to >= 0) filters[to] = memory[p.soft + entry * (PIXELS + 1) + pixel];
  });
}

}  // namespace pixelpretext
