// Every CUDA kernel as a C function for the tests, run by emulation.h with the launch plans of the real thing.

#include "emulation.h"
// The kernels, after what stands in for CUDA.
#include "cuda/conv_forward.cuh"
#include "cuda/conv_grad_w.cuh"
#include "cuda/conv_grad_x.cuh"
#include "cuda/conv_launch.h"
#include "cuda/filters_backward.cuh"
#include "cuda/filters_forward.cuh"
#include "cuda/filters_keys.cuh"
#include "cuda/filters_launch.h"

namespace {

using namespace pixelpretext;
using emulation::Memory;

int schedule = 0;
std::string fault;

// Takes the place of a CUDA stream: runs what it is given.
struct Launcher {
  template <typename Kernel, typename... Arguments>
  void operator()(Kernel kernel, int64_t blocks, int threads, int64_t shared_bytes,
                  const Arguments&... arguments) const {
    emulation::launch(blocks, threads, shared_bytes, schedule, [&] { kernel(arguments...); });
  }
};

template <typename Body>
int guarded(const Body& body) {
  try {
    body();
    return 0;
  } catch (const std::exception& error) {
    fault = error.what();
    return 1;
  }
}

template <typename T>
T* at(Memory& memory) {
  return static_cast<T*>(memory.data());
}

void give(Memory& memory, void* to, int64_t bytes, const char* what) {
  memory.check(what);
  std::memcpy(to, memory.data(), bytes);
}

// which: 0 forward, 1 grad_x, 2 grad_w. `shared`: bytes of shared memory to plan with, so that slabs are tried too.
template <typename T>
void conv(int which, const ConvShape& s, int64_t shared, const T* first, const T* second, const T* bias, T* to) {
  const int64_t pixels = s.batch * s.height * s.factor * s.width * s.factor;
  const int64_t maps[3] = {pixels * s.channels, s.batch * s.x_height * s.x_width * s.channels,
                           pixels * s.kernel * s.kernel};  // y, x, w
  const int64_t a = which == 0 ? maps[1] : maps[0], b = which == 2 ? maps[1] : maps[2], c = maps[which];
  Memory one(a * sizeof(T), first), two(b * sizeof(T), second), three(c * sizeof(T));
  const Launcher launcher;
  if (which == 0) {
    std::unique_ptr<Memory> constant;
    if (bias) constant = std::make_unique<Memory>(s.channels * sizeof(T), bias);
    launch_conv_forward(launcher, s, at<T>(one), at<T>(two), bias ? at<T>(*constant) : nullptr, at<T>(three), shared);
  }
  if (which == 1) launch_conv_grad_x(launcher, s, at<T>(one), at<T>(two), at<T>(three), shared);
  if (which == 2) launch_conv_grad_w(launcher, s, at<T>(one), at<T>(two), at<T>(three));
  give(three, to, c * sizeof(T), "its result");
}

struct FilterSizes {
  int64_t keys, guidance, weight1, bias1, weight2, bias2, keep, rows, cols, pixels;
};

FilterSizes sizes_of(const FilterShape& s) {
  const int64_t pixels = s.batch * s.height * s.width, t = s.taps(), band = static_cast<int64_t>(s.side()) * s.low;
  return {s.batch * s.depth * (s.height + 2 * s.radius) * (s.width + 2 * s.radius),
          pixels * s.colours,
          t * s.inputs(),
          t,
          t * t,
          t,
          s.batch * t,
          s.height * band,
          s.width * band,
          pixels};
}

// Inputs in guarded memory; null stays null.
template <typename S>
struct Guarded {
  std::vector<std::unique_ptr<Memory>> held;
  FilterInputs<S> in{};

  Guarded(const FilterShape& s, const S* const* pointers) {
    const FilterSizes n = sizes_of(s);
    const int64_t counts[11] = {n.keys,    1,       1,      n.guidance, n.weight1, n.bias1,
                                n.weight2, n.bias2, n.keep, n.rows,     n.cols};
    const S** fields[11] = {&in.keys,    &in.temperature, &in.sigma, &in.guidance, &in.weight1, &in.bias1,
                            &in.weight2, &in.bias2,       &in.keep,  &in.rows,     &in.cols};
    for (int k = 0; k < 11; ++k) {
      if (!pointers[k]) continue;
      held.push_back(std::make_unique<Memory>(counts[k] * sizeof(S), pointers[k]));
      *fields[k] = at<S>(*held.back());
    }
  }
};

template <typename S>
void filters(const FilterShape& s, int64_t shared, const S* const* pointers, S* to) {
  Guarded<S> inputs(s, pointers);
  const int64_t count = sizes_of(s).pixels * s.low * s.low;
  Memory result(count * sizeof(S));
  launch_filters_forward(Launcher(), s, inputs.in, at<S>(result), shared);
  give(result, to, count * sizeof(S), "the filters");
}

template <typename S>
void filters_back(const FilterShape& s, int64_t shared, const S* grad, const S* const* pointers, S* const* to) {
  Guarded<S> inputs(s, pointers);
  const FilterSizes n = sizes_of(s);
  Memory above(n.pixels * s.low * s.low * sizeof(S), grad), d_logits(n.pixels * s.taps() * sizeof(S));
  Memory partial(filter_parts(s, shared, sizeof(S)) * s.parameters() * sizeof(S));
  const int64_t counts[8] = {n.keys, 1, 1, n.guidance, n.weight1, n.bias1, n.weight2, n.bias2};
  std::vector<std::unique_ptr<Memory>> results;
  for (int64_t count : counts) results.push_back(std::make_unique<Memory>(count * sizeof(S)));
  const auto result = [&](int k) { return at<S>(*results[k]); };
  launch_filters_backward(
      Launcher(), s, inputs.in, at<S>(above), FilterGradients<S>{at<S>(d_logits), result(3), at<S>(partial)},
      ParameterGradients<S>{result(4), result(5), result(6), result(7), result(1), result(2)}, result(0), shared);
  d_logits.check("∂logits");
  partial.check("the partial sums");
  for (int k = 0; k < (s.fixup ? 8 : 3); ++k) give(*results[k], to[k], counts[k] * sizeof(S), "a gradient");
}

// Reverses 64 numbers through shared memory, with one fault: 1 a barrier missing, 2 a write beyond, 3 a vector at an
// odd address, 4 a barrier that half of the threads never reach. 0: none.
void reverse(int kind, float* to) {
  SHARED_MEMORY(float, numbers);
  const unsigned self = threadIdx.x;
  numbers[self + (kind == 2 ? 1 : 0)] = static_cast<float>(self);
  if (kind != 1 && (kind != 4 || self < 32)) __syncthreads();
  if (kind == 3) load_word(numbers + 1);
  to[self] = numbers[63 - self];
}

}  // namespace

extern "C" {

void set_schedule(int which) {
  schedule = which;
}

const char* last_fault() {
  return fault.c_str();
}

// numbers: batch, channels, height, width, x_height, x_width, factor, kernel, padding. type: 0 float, 1 double, 2 half.
int emulated_conv(int which, int type, const int* numbers, int64_t shared, const void* first, const void* second,
                  const void* bias, void* to) {
  const ConvShape s{numbers[0], numbers[1], numbers[2], numbers[3], numbers[4],
                    numbers[5], numbers[6], numbers[7], numbers[8]};
  return guarded([&] {
    const auto run = [&](auto zero) {
      using T = decltype(zero);
      conv<T>(which, s, shared, static_cast<const T*>(first), static_cast<const T*>(second),
              static_cast<const T*>(bias), static_cast<T*>(to));
    };
    type == 0 ? run(float()) : type == 1 ? run(double()) : run(torch::headeronly::Half());
  });
}

// numbers: batch, depth, colours, height, width, radius, low, fixup, banded. grad null: forward.
int emulated_filters(int type, const int* n, int64_t shared, const void* grad, const void* const* pointers,
                     void* const* to) {
  const FilterShape s{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7] != 0, n[8] != 0};
  return guarded([&] {
    const auto run = [&](auto zero) {
      using S = decltype(zero);
      const auto* inputs = reinterpret_cast<const S* const*>(pointers);
      const auto results = reinterpret_cast<S* const*>(to);
      if (grad) {
        filters_back<S>(s, shared, static_cast<const S*>(grad), inputs, results);
      } else {
        filters<S>(s, shared, inputs, results[0]);
      }
    };
    type == 0 ? run(float()) : run(double());
  });
}

int emulated_fault(int kind, float* to) {
  return guarded([&] { emulation::launch(1, 64, 64 * sizeof(float), schedule, [&] { reverse(kind, to); }); });
}

}  // extern "C"
