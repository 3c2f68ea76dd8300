// How the work of the three adaptive convolution kernels is cut into blocks: plain C++, the same for GPU and tests.
#pragma once

#include <algorithm>
#include <cstdint>

namespace pixelpretext {

// x (B, C, x_height, x_width), y (B, C, f·height, f·width), both channels last; w (B, f·height, f·width, K, K).
struct ConvShape {
  int64_t batch, channels;
  int height, width;  // h, w: the cells of the low-resolution grid
  int x_height, x_width;
  int factor, kernel, padding;
};

// One kernel's blocks. An item is what a group of `lanes` neighbouring threads works on, each on its own channels:
//   forward     four pixels: of one cell, or, where factor = 1, of four cells in a row
//   grad_w      the same four pixels and one row of the filter, or a part of one
//   grad_x      four elements of a row of x
// The items of a block lie in a tile of rows × columns; `groups` items share a place in the tile.
struct ConvPlan {
  int lanes, items;
  int rows, columns;  // of a tile
  int tiles_down, tiles_across;
  int groups, block_groups, group_blocks;
  int splits, chunks;                 // of the channels: parts that go to different blocks, chunks per part
  int slab, slab_rows, slab_columns;  // of the filters in shared memory, see each kernel
  int64_t blocks, shared_bytes;
};

namespace plan {

constexpr int kBlock = 256;                 // threads
constexpr int64_t kSharedBytes = 48 << 10;  // what every card gives without being asked
constexpr int64_t kLargeSharedBytes = 96 << 10;
constexpr int kEnoughBlocks = 4 * 132;  // below this many, the channels are split over blocks too

inline int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// Threads that share an item: eight of 16 bytes read 128; scalar ones as many as there are channels for.
inline int lanes(int64_t channels, int vector, int widest) {
  const int64_t wanted = ceil_div(channels, vector);
  int lanes = 8;
  while (lanes < widest && lanes < wanted) lanes *= 2;
  return lanes;
}

// Cuts places (height × width of them, `groups` items each) into tiles that fill a block, as square as `wide` says.
inline void tiles(ConvPlan& p, int64_t batch, int height, int width, int groups, int wide) {
  p.groups = groups;
  p.block_groups = std::min(groups, p.items);
  p.group_blocks = static_cast<int>(ceil_div(groups, p.block_groups));
  const int places = p.items / p.block_groups;
  p.rows = 1;
  while (4 * p.rows * p.rows <= places * wide) p.rows *= 2;
  p.rows = std::min(p.rows, places);
  p.columns = places / p.rows;
  p.tiles_down = static_cast<int>(ceil_div(height, p.rows));
  p.tiles_across = static_cast<int>(ceil_div(width, p.columns));
  p.blocks = batch * p.tiles_down * p.tiles_across * p.group_blocks;
}

// Splits the channels over blocks where there are too few tiles to keep a large card busy.
inline void split_channels(ConvPlan& p, int64_t channels, int vector) {
  const int64_t chunks = ceil_div(channels, static_cast<int64_t>(p.lanes) * vector);
  const int64_t wanted = std::min(chunks, ceil_div(kEnoughBlocks, std::max<int64_t>(p.blocks, 1)));
  p.chunks = static_cast<int>(ceil_div(chunks, std::max<int64_t>(wanted, 1)));
  p.splits = static_cast<int>(ceil_div(chunks, p.chunks));
  p.blocks *= p.splits;
}

}  // namespace plan

// Four pixels at a time: all of a cell's in groups of four, or those of four cells where a cell has one.
inline int phases(const ConvShape& s) {
  return s.factor == 1 ? 1 : 4;
}
inline int groups(const ConvShape& s) {
  return s.factor == 1 ? 1 : (s.factor * s.factor + 3) / 4;
}
inline int strips(const ConvShape& s) {
  return s.factor == 1 ? (s.width + 3) / 4 : s.width;
}

inline ConvPlan plan_forward(const ConvShape& s, int vector, int sum_bytes, int64_t shared = plan::kSharedBytes) {
  ConvPlan p{};
  p.lanes = plan::lanes(s.channels, vector, vector == 1 ? 32 : 8);
  p.items = plan::kBlock / p.lanes;
  plan::tiles(p, s.batch, s.height, strips(s), groups(s), s.factor == 1 ? 8 : 4);
  plan::split_channels(p, s.channels, vector);
  const int64_t room = std::max<int64_t>(shared / (p.items * 4 * sum_bytes), 1);  // taps
  p.slab_columns = static_cast<int>(std::min<int64_t>(room, s.kernel));
  p.slab_rows = static_cast<int>(std::clamp<int64_t>(room / s.kernel, 1, s.kernel));
  p.slab = p.slab_rows * p.slab_columns;
  p.shared_bytes = static_cast<int64_t>(p.slab) * p.items * 4 * sum_bytes;
  return p;
}

constexpr int kGradWTaps = 7;  // taps of a filter row that a thread sums at once

// Here `rows` of a tile is unused: items follow each other, the rows of a filter first, so that they share x and ∂y.
inline ConvPlan plan_grad_w(const ConvShape& s, int vector) {
  ConvPlan p{};
  p.lanes = plan::lanes(s.channels, vector, vector == 1 ? 32 : 8);
  p.items = plan::kBlock / p.lanes;
  p.groups = groups(s);
  p.slab_rows = static_cast<int>(plan::ceil_div(s.kernel, kGradWTaps));      // parts of a filter row
  p.slab_columns = static_cast<int>(plan::ceil_div(s.kernel, p.slab_rows));  // taps of a part
  const int64_t items = s.batch * s.height * strips(s) * p.groups * s.kernel * p.slab_rows;
  p.blocks = plan::ceil_div(items, p.items);
  return p;
}

inline ConvPlan plan_grad_x(const ConvShape& s, int vector, int bytes, int64_t shared = plan::kLargeSharedBytes) {
  ConvPlan p{};
  p.lanes = plan::lanes(s.channels, vector, vector == 1 ? 32 : 16);
  p.items = plan::kBlock / p.lanes;
  plan::tiles(p, s.batch, s.x_height, (s.x_width + 3) / 4, 1, 16);
  plan::split_channels(p, s.channels, vector);
  const int64_t sources = static_cast<int64_t>(s.kernel) * (s.kernel + 3) * groups(s);
  const int64_t each = static_cast<int64_t>(p.items) * phases(s) * 4 * bytes;
  p.slab = static_cast<int>(std::clamp<int64_t>(shared / each, 1, sources));
  p.shared_bytes = p.slab * each;
  return p;
}

}  // namespace pixelpretext
