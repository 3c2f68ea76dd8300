// jbu_filters_backward, second part: ∂keys from ∂logits (B, T, H, W), gathered, so nothing is added atomically.
//
// A key is the centre of its own pixel and a neighbour of (2r + 1)² pixels. Both times what it is multiplied by is the
// key at some offset q, so ∂k[p] = t·Σ_q a_q·k[p + q] with a_q = ∂logits[q] at p plus ∂logits[−q] at p + q. A block
// makes a_q for 8 × 8 positions in shared memory (13 KB) and applies it to the keys there (25 KB for 32 channels), four
// channels per load. Bytes for float32: 4·(4.1·D + 4.1·T) per position.
#pragma once

#include "cuda/filters_common.cuh"

namespace pixelpretext {

// ∂logits of a tap at a pixel, zero outside the map.
template <typename S>
__device__ __forceinline__ S d_logit_at(const FilterShape& s, const S* d_logits, int64_t image, int tap, int row,
                                        int column) {
  if (row < 0 || row >= s.height || column < 0 || column >= s.width) return 0;
  return d_logits[((image * s.taps() + tap) * s.height + row) * s.width + column];
}

template <typename S, int PIXELS>
__global__ void __launch_bounds__(PIXELS* kTeam)
    filters_keys(const FilterShape s, const FilterPlan p, const S* __restrict__ keys, const S* __restrict__ temperature,
                 const S* __restrict__ d_logits, S* __restrict__ d_keys) {
  SHARED_MEMORY(S, memory);
  const int key_height = s.height + 2 * s.radius, key_width = s.width + 2 * s.radius;
  const Place at = find_place<PIXELS>(p, blockIdx.x, key_height, key_width);
  S* filter = memory + p.soft + at.pixel;
  for (int t = at.team; t < s.taps(); t += kTeam) {
    const int i = t / s.side(), j = t % s.side();
    const S here = d_logit_at(s, d_logits, at.image, t, at.row - s.radius, at.column - s.radius);
    const S there =
        d_logit_at(s, d_logits, at.image, s.taps() - 1 - t, at.row - 2 * s.radius + i, at.column - 2 * s.radius + j);
    filter[t * (PIXELS + 1)] = *temperature * (here + there);
  }
  const int height = p.tile_rows + 2 * s.radius, width = p.tile_columns + 2 * s.radius;
  const Quad<S>* own =
      reinterpret_cast<const Quad<S>*>(memory + p.keys) + (at.row - at.top) * width + at.column - at.left;
  for (int first = 0; first < s.depth; first += kDepth) {
    __syncthreads();
    load_keys<PIXELS>(s, p, keys, at, at.top - s.radius, at.left - s.radius, first, memory + p.keys);
    __syncthreads();
    for (int d = at.team; d < kDepth / 4 && first + 4 * d < s.depth; d += kTeam) {
      Quad<S> sum{};
      for (int t = 0; t < s.taps(); ++t) {
        const Quad<S> key = own[(d * height + t / s.side()) * width + t % s.side()];
        const S weight = filter[t * (PIXELS + 1)];
#pragma unroll
        for (int v = 0; v < 4; ++v) sum.value[v] += weight * key.value[v];
      }
      for (int v = 0; v < 4 && at.valid && first + 4 * d + v < s.depth; ++v) {
        const int64_t plane = at.image * s.depth + first + 4 * d + v;
        d_keys[(plane * key_height + at.row) * key_width + at.column] = sum.value[v];
      }
    }
  }
}

}  // namespace pixelpretext
