// Chooses the instance of each joint bilateral filter kernel and starts it; see conv_launch.h for launchers.
#pragma once

#include "cuda/filters_backward.cuh"
#include "cuda/filters_forward.cuh"
#include "cuda/filters_keys.cuh"

namespace pixelpretext {

// A block takes 64 pixels if their columns fit into `shared` bytes, else 8.
inline FilterPlan plan_filters(const FilterShape& s, int matrices, int64_t shared, int bytes) {
  const FilterPlan p = plan::filters(s, kManyPixels, matrices, bytes);
  return p.shared_bytes <= shared ? p : plan::filters(s, kFewPixels, matrices, bytes);
}

inline FilterPlan plan_keys(const FilterShape& s, int64_t shared, int bytes) {
  const FilterPlan p = plan::key_gradient(s, kManyPixels, bytes);
  return p.shared_bytes <= shared ? p : plan::key_gradient(s, kFewPixels, bytes);
}

inline int pixels_of(const FilterPlan& p) {
  return p.tile_rows * p.tile_columns;
}

// Shared memory that a shape cannot do without, in bytes; `backward` for its gradients.
inline int64_t least_shared_bytes(const FilterShape& s, bool backward, int bytes) {
  const int64_t main = plan::filters(s, kFewPixels, backward ? 3 : 2, bytes).shared_bytes;
  return backward ? std::max(main, plan::key_gradient(s, kFewPixels, bytes).shared_bytes) : main;
}

// Rows of partial sums of the backward pass.
inline int64_t filter_parts(const FilterShape& s, int64_t shared, int bytes) {
  return std::min<int64_t>(plan_filters(s, 3, shared, bytes).tiles, kParts);
}

template <typename S, typename Launcher>
void launch_filters_forward(const Launcher& launch, const FilterShape& s, const FilterInputs<S>& in, S* filters,
                            int64_t shared) {
  const FilterPlan p = plan_filters(s, 2, shared, sizeof(S));
  const int threads = pixels_of(p) * kTeam;
  if (p.staged) {
    launch(filters_forward<S, kManyPixels, true>, p.tiles, threads, p.shared_bytes, s, p, in, filters);
  } else if (pixels_of(p) == kManyPixels) {
    launch(filters_forward<S, kManyPixels, false>, p.tiles, threads, p.shared_bytes, s, p, in, filters);
  } else {
    launch(filters_forward<S, kFewPixels, false>, p.tiles, threads, p.shared_bytes, s, p, in, filters);
  }
}

// out.partial holds filter_parts() rows of s.parameters() numbers, out.d_logits (B, T, H, W); both are scratch.
template <typename S, typename Launcher>
void launch_filters_backward(const Launcher& launch, const FilterShape& s, const FilterInputs<S>& in, const S* grad,
                             const FilterGradients<S>& out, const ParameterGradients<S>& parameters, S* d_keys,
                             int64_t shared) {
  const FilterPlan p = plan_filters(s, 3, shared, sizeof(S));
  const int64_t parts = filter_parts(s, shared, sizeof(S));
  const int threads = pixels_of(p) * kTeam;
  if (p.staged) {
    launch(filters_backward<S, kManyPixels, true>, parts, threads, p.shared_bytes, s, p, in, grad, out);
  } else if (pixels_of(p) == kManyPixels) {
    launch(filters_backward<S, kManyPixels, false>, parts, threads, p.shared_bytes, s, p, in, grad, out);
  } else {
    launch(filters_backward<S, kFewPixels, false>, parts, threads, p.shared_bytes, s, p, in, grad, out);
  }
  const S* partial = out.partial;
  const int64_t count = s.parameters();
  launch(add_parts<S>, plan::blocks_for(count), kThreads, int64_t(0), s, partial, in.sigma, static_cast<int>(parts),
         count, parameters);
  const FilterPlan k = plan_keys(s, shared, sizeof(S));
  const S* d_logits = out.d_logits;
  if (pixels_of(k) == kManyPixels) {
    launch(filters_keys<S, kManyPixels>, k.tiles, kManyPixels * kTeam, k.shared_bytes, s, k, in.keys, in.temperature,
           d_logits, d_keys);
  } else {
    launch(filters_keys<S, kFewPixels>, k.tiles, kFewPixels * kTeam, k.shared_bytes, s, k, in.keys, in.temperature,
           d_logits, d_keys);
  }
}

}  // namespace pixelpretext
