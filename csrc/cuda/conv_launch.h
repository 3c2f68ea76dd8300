// Chooses the instance of each adaptive convolution kernel; a launcher(kernel, blocks, threads, shared bytes,
// arguments...) starts it: on a CUDA stream (operators) or on the CPU (tests).
#pragma once

#include "cuda/conv_forward.cuh"
#include "cuda/conv_grad_w.cuh"
#include "cuda/conv_grad_x.cuh"

namespace pixelpretext {

// Channels per thread: eight where every 16-byte word of the maps is aligned, else one. Double is for tests.
template <typename T>
int vector_of(const ConvShape& s, const void* a, const void* b) {
  const auto aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % sizeof(Word) == 0; };
  return sizeof(T) <= 4 && s.channels % 8 == 0 && aligned(a) && aligned(b) ? 8 : 1;
}

// Calls body with the vector length and the phases per group as types; double has no vectors.
template <typename T, typename Body>
void with_instance(const ConvShape& s, int vector, const Body& body) {
  using One = std::integral_constant<int, 1>;
  using Four = std::integral_constant<int, 4>;
  using Eight = std::integral_constant<int, 8>;
  if constexpr (sizeof(T) <= 4) {
    if (vector == 8) return s.factor == 1 ? body(Eight(), One()) : body(Eight(), Four());
  }
  s.factor == 1 ? body(One(), One()) : body(One(), Four());
}

template <typename T, typename Launcher>
void launch_conv_forward(const Launcher& launch, const ConvShape& s, const T* x, const T* w, const T* bias, T* y,
                         int64_t shared = plan::kSharedBytes) {
  const int vector = vector_of<T>(s, x, y);
  const ConvPlan p = plan_forward(s, vector, sizeof(Sum<T>), shared);
  with_instance<T>(s, vector, [&](auto v, auto phases) {
    if (v() == 8 && s.kernel == 7 && p.slab == 49) {
      launch(conv_forward < T, v(), phases(), v() == 8 ? 7 : 0 >, p.blocks, kThreads, p.shared_bytes, s, p, x, w, bias, y);
    } else {
      launch(conv_forward<T, v(), phases(), 0>, p.blocks, kThreads, p.shared_bytes, s, p, x, w, bias, y);
    }
  });
}

template <typename T, typename Launcher>
void launch_conv_grad_x(const Launcher& launch, const ConvShape& s, const T* grad, const T* w, T* x,
                        int64_t shared = plan::kLargeSharedBytes) {
  const int vector = vector_of<T>(s, grad, x);
  const ConvPlan p = plan_grad_x(s, vector, sizeof(T), shared);
  with_instance<T>(s, vector, [&](auto v, auto phases) {
    if (s.factor <= 2) {
      launch(conv_grad_x < T, v(), phases(), phases() == 1 ? 1 : 2 >, p.blocks, kThreads, p.shared_bytes, s, p, grad, w,
             x);
    } else {
      launch(conv_grad_x<T, v(), phases(), 0>, p.blocks, kThreads, p.shared_bytes, s, p, grad, w, x);
    }
  });
}

template <typename T, typename Launcher>
void launch_conv_grad_w(const Launcher& launch, const ConvShape& s, const T* grad, const T* x, T* w) {
  const int vector = vector_of<T>(s, grad, x);
  const ConvPlan p = plan_grad_w(s, vector);
  with_instance<T>(s, vector, [&](auto v, auto phases) {
    launch(conv_grad_w<T, v(), phases()>, p.blocks, kThreads, int64_t(0), s, p, grad, x, w);
  });
}

}  // namespace pixelpretext
