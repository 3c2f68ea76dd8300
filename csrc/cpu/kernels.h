// The CPU kernels' arguments, and where the ones for the running machine are found.
//
// Each kernel does the work items begin … end of its own loop, so that the caller shares them among threads. Axes as in
// heads/upsamplers/operators.py: B images, C channels, h × w low-resolution grid, f factor, H = f·h, W = f·w, K filter
// side, T = K² taps.
#pragma once

#include <cstdint>

namespace pixelpretext {

// adaptive_conv and its gradients. Maps have channels last: x (B, h + K − 1 − 2p, w + K − 1 − 2p, C), y (B, H, W, C),
// filters (B, H, W, K, K).
template <class T>
struct Conv {
  int64_t batch, channels, height, width, factor, kernel, padding;  // height, width: h, w
  const T* x;
  const T* filters;
  const T* y;     // its gradient
  const T* bias;  // (C,), or null for 0
  T* out;
  bool past_caches;  // forward: `out` is aligned to 64 bytes, as is every pixel, and too large for the caches

  int64_t x_height() const { return height + kernel - 1 - 2 * padding; }
  int64_t x_width() const { return width + kernel - 1 - 2 * padding; }
  int64_t taps() const { return kernel * kernel; }
};

// jbu_filters and its gradients. Planes come first: keys (B, D, H + 2r, W + 2r), guidance (B, G, H, W).
template <class T>
struct Jbu {
  int64_t batch, depth, guides, height, width, radius, low;  // height, width: H, W; low: side of the folded filter
  T temperature, sigma;
  const T* keys;
  const T* guidance;  // null: no fix-up
  const T *weight1, *bias1, *weight2, *bias2;
  const T* keep;  // null: no dropout
  const T* rows;  // (H, K, low); null: nothing is folded
  const T* cols;  // (K, low, W): transposed by the caller, so that neighbours in a row lie side by side
  T* filters;     // (B, H, W, low, low)

  // Backward only.
  const T* grad;     // of the filters
  T* d_logits;       // (B, T, H, W), times the temperature
  T* d_guidance;     // (B, G, H, W)
  T* d_parameters;   // (items, parameters()) sums of each work item
  T* d_keys;         // as keys

  int64_t side() const { return 2 * radius + 1; }
  int64_t taps() const { return side() * side(); }
  // ∂temperature, ∂sigma, then ∂weight1, ∂bias1, ∂weight2, ∂bias2.
  int64_t parameters() const { return 2 + (guidance ? taps() * (2 * taps() + guides + 2) : 0); }
};

// Rows of one image that make a work item of the backward pass: fixed, so that sums do not depend on the threads.
constexpr int64_t kItemRows = 16;
constexpr int64_t kMostTaps = 121;  // radius 5
constexpr int64_t kMostGuides = 8;

template <class T>
struct Kernels {
  void (*conv)(const Conv<T>&, int64_t, int64_t);              // items: B · h
  void (*conv_grad_x)(const Conv<T>&, int64_t, int64_t);       // items: B · (rows of x)
  void (*conv_grad_filters)(const Conv<T>&, int64_t, int64_t);  // items: B · h
  void (*filters)(const Jbu<T>&, int64_t, int64_t);            // items: B · H
  void (*filters_backward)(const Jbu<T>&, int64_t, int64_t);   // items: B · ⌈H / kItemRows⌉
  void (*keys_backward)(const Jbu<T>&, int64_t, int64_t);      // items: B · (H + 2r)
};

// One translation unit per instruction set; the last is compiled for any machine.
template <class T>
const Kernels<T>& kernels_avx512();
template <class T>
const Kernels<T>& kernels_avx2();
template <class T>
const Kernels<T>& kernels_baseline();

}  // namespace pixelpretext
