// How the joint bilateral filter kernels use a block's shared memory: plain C++, the same for GPU and tests.
#pragma once

#include <algorithm>
#include <cstdint>

namespace pixelpretext {

constexpr int kTeam = 4;         // threads that share a pixel
constexpr int kDepth = 32;       // channels of the keys in shared memory at once
constexpr int kFewPixels = 8;    // pixels per block where the taps are too many for
constexpr int kManyPixels = 64;  // these
constexpr int kParts = 256;      // blocks that sum the gradients of parameters: fixed, so are the results

struct FilterShape {
  int64_t batch;
  int depth, colours;  // D, G (0 without fix-up)
  int height, width;   // H, W
  int radius;          // r
  int low;             // K of the result
  bool fixup, banded;

  __host__ __device__ int side() const { return 2 * radius + 1; }
  __host__ __device__ int taps() const { return side() * side(); }
  __host__ __device__ int inputs() const { return taps() + colours; }
  // Sums per block of the backward pass: ∂A₁ with ∂a₁ as its last column, ∂A₂ with ∂a₂, ∂temperature, ∂sigma.
  __host__ __device__ int64_t parameters() const {
    return fixup ? static_cast<int64_t>(taps()) * (inputs() + taps() + 2) + 2 : 2;
  }
};

__host__ __device__ inline int round4(int n) {
  return (n + 3) / 4 * 4;
}

// Where everything lies in a block's shared memory, in numbers from its start. A column holds one number per pixel and
// row, rows being PIXELS + 1 apart, so that neighbouring pixels and neighbouring rows lie in different banks.
struct FilterPlan {
  int tile_rows, tile_columns, tiles_down, tiles_across;
  bool staged;  // the matrices of the fix-up are copied to shared memory
  int keys, soft, hidden, above, slope, bands, matrices, sums;
  int64_t tiles, shared_bytes;
};

namespace plan {

inline int64_t blocks_for(int64_t threads) {
  return (threads + 255) / 256;
}

struct Layout {
  int64_t used = 0;
  int add(int64_t numbers) {
    const int64_t start = used;
    used += (numbers + 3) / 4 * 4;
    return static_cast<int>(start);
  }
};

// Lays out the forward pass (`matrices` = 2) or the backward pass (3: A₁ is needed both ways round).
inline FilterPlan filters(const FilterShape& s, int pixels, int matrices, int bytes) {
  FilterPlan p{};
  p.tile_rows = pixels == kManyPixels ? 8 : 2;
  p.tile_columns = pixels / p.tile_rows;
  p.tiles_down = (s.height + p.tile_rows - 1) / p.tile_rows;
  p.tiles_across = (s.width + p.tile_columns - 1) / p.tile_columns;
  p.tiles = s.batch * p.tiles_down * p.tiles_across;
  p.staged = s.fixup && pixels == kManyPixels;
  const bool backward = matrices == 3;
  const int64_t column = pixels + 1,
                folded = static_cast<int64_t>(std::max(s.low, s.side())) * std::max(s.low, s.side());
  const int64_t keys = static_cast<int64_t>(p.tile_rows + 2 * s.radius) * (p.tile_columns + 2 * s.radius) * kDepth;
  const int64_t rows = std::max<int64_t>(round4(s.inputs() + 1), folded),
                inner = std::max<int64_t>(round4(s.taps() + 1), folded);
  Layout layout;
  p.soft = layout.add(rows * column);
  if (backward) p.above = layout.add(inner * column);
  p.keys = p.hidden = layout.add(0);  // the keys are no longer needed when these columns are written
  layout.add(inner * column);
  if (backward) p.slope = layout.add(inner * column);
  layout.used = std::max<int64_t>(layout.used, p.keys + keys);
  if (s.banded) p.bands = layout.add(static_cast<int64_t>(p.tile_rows + p.tile_columns) * s.side() * s.low);
  p.sums = layout.add(2 * kTeam * pixels);
  if (p.staged)
    p.matrices = layout.add((static_cast<int64_t>(s.inputs()) * (matrices - 1) + s.taps()) * round4(s.inputs()));
  p.shared_bytes = layout.used * bytes;
  return p;
}

// ∂keys: filters of (H + 2r) × (W + 2r) key positions, and the keys around them.
inline FilterPlan key_gradient(const FilterShape& s, int pixels, int bytes) {
  FilterPlan p{};
  p.tile_rows = pixels == kManyPixels ? 8 : 2;
  p.tile_columns = pixels / p.tile_rows;
  p.tiles_down = (s.height + 2 * s.radius + p.tile_rows - 1) / p.tile_rows;
  p.tiles_across = (s.width + 2 * s.radius + p.tile_columns - 1) / p.tile_columns;
  p.tiles = s.batch * p.tiles_down * p.tiles_across;
  Layout layout;
  p.soft = layout.add(static_cast<int64_t>(s.taps()) * (pixels + 1));
  p.keys = layout.add(static_cast<int64_t>(p.tile_rows + 2 * s.radius) * (p.tile_columns + 2 * s.radius) * kDepth);
  p.shared_bytes = layout.used * bytes;
  return p;
}

}  // namespace plan

}  // namespace pixelpretext
