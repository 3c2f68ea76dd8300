// The operators as torch calls them on the CPU: shapes, layouts and threads. Arguments were checked in Python.
//
// Only torch's stable ABI is used, so one library serves every torch from 2.11 on. Half precisions are computed in
// float32. PIXELPRETEXT_CPU=avx2 or baseline holds the instruction set down, for tests and comparisons.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <tuple>
#include <vector>

#include "kernels.h"

namespace pixelpretext {
namespace {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Sizes = std::vector<int64_t>;

constexpr size_t kPastCaches = 16 << 20;  // bytes of output; smaller ones are likely to be read from the cache next

template <class T>
const Kernels<T>& kernels() {
#if defined(__x86_64__)
  const char* name = std::getenv("PIXELPRETEXT_CPU");
  const bool baseline = name && std::strcmp(name, "baseline") == 0, avx2 = name && std::strcmp(name, "avx2") == 0;
  __builtin_cpu_init();
  if (!baseline && !avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return kernels_avx512<T>();
  if (!baseline && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return kernels_avx2<T>();
#endif
  return kernels_baseline<T>();
}

Tensor cast(const Tensor& t, ScalarType type) { return t.scalar_type() == type ? t : torch::stable::to(t, type); }

Tensor make(const Sizes& sizes, const Tensor& like, std::optional<MemoryFormat> format = std::nullopt) {
  return torch::stable::empty(sizes, like.scalar_type(), std::nullopt, like.device(), std::nullopt, format);
}

Tensor channels_last(const Tensor& t) { return torch::stable::contiguous(t, MemoryFormat::ChannelsLast); }

template <class T>
const T* read(const Tensor& t) {
  return static_cast<const T*>(t.const_data_ptr());
}

template <class T>
T* write(const Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

// Shares `items` among the threads; one is much work.
template <class Arguments>
void share(void (*kernel)(const Arguments&, int64_t, int64_t), const Arguments& a, int64_t items) {
  torch::stable::parallel_for(0, items, 1, [&](int64_t begin, int64_t end) { kernel(a, begin, end); });
}

// Calls function(T()) with T the type of the numbers, in float32 for the half precisions, and gives the result back in
// the type that came in.
template <class Function>
Tensor in_full_precision(const Tensor& like, const Function& function) {
  const ScalarType type = like.scalar_type();
  if (type == ScalarType::Double) return function(double(), ScalarType::Double);
  return cast(function(float(), ScalarType::Float), type);
}

template <class T>
Conv<T> conv_of(int64_t batch, int64_t channels, int64_t height, int64_t width, int64_t kernel, int64_t factor,
                int64_t padding) {
  return {batch, channels, height / factor, width / factor, factor, kernel, padding, nullptr, nullptr, nullptr, nullptr,
          nullptr, false};
}

Tensor adaptive_conv(Tensor x, Tensor w, int64_t factor, int64_t padding, std::optional<Tensor> bias) {
  return in_full_precision(x, [&]<class T>(T, ScalarType type) {
    const Tensor map = channels_last(cast(x, type)), filters = torch::stable::contiguous(cast(w, type));
    Conv<T> a = conv_of<T>(x.size(0), x.size(1), w.size(1), w.size(2), w.size(3), factor, padding);
    const Tensor y = make({x.size(0), x.size(1), w.size(1), w.size(2)}, map, MemoryFormat::ChannelsLast);
    if (y.numel() == 0) return y;
    a.x = read<T>(map), a.filters = read<T>(filters), a.out = write<T>(y);
    std::optional<Tensor> constant;
    if (bias) constant = torch::stable::contiguous(cast(*bias, type)), a.bias = read<T>(*constant);
    const bool aligned = reinterpret_cast<uintptr_t>(a.out) % 64 == 0 && a.channels * sizeof(T) % 64 == 0;
    a.past_caches = aligned && y.numel() * sizeof(T) > kPastCaches;
    share(kernels<T>().conv, a, a.batch * a.height);
    return y;
  });
}

Tensor adaptive_conv_grad_x(Tensor grad, Tensor w, int64_t factor, int64_t padding) {
  return in_full_precision(grad, [&]<class T>(T, ScalarType type) {
    const Tensor y = channels_last(cast(grad, type)), filters = torch::stable::contiguous(cast(w, type));
    Conv<T> a = conv_of<T>(y.size(0), y.size(1), w.size(1), w.size(2), w.size(3), factor, padding);
    const Tensor x = make({a.batch, a.channels, a.x_height(), a.x_width()}, y, MemoryFormat::ChannelsLast);
    if (x.numel() == 0) return x;
    a.y = read<T>(y), a.filters = read<T>(filters), a.out = write<T>(x);
    share(kernels<T>().conv_grad_x, a, a.batch * a.x_height());
    return x;
  });
}

Tensor adaptive_conv_grad_w(Tensor grad, Tensor x, int64_t factor, int64_t padding) {
  return in_full_precision(grad, [&]<class T>(T, ScalarType type) {
    const Tensor y = channels_last(cast(grad, type)), map = channels_last(cast(x, type));
    const int64_t kernel = x.size(2) + 2 * padding - y.size(2) / factor + 1;
    Conv<T> a = conv_of<T>(y.size(0), y.size(1), y.size(2), y.size(3), kernel, factor, padding);
    const Tensor w = make({a.batch, y.size(2), y.size(3), kernel, kernel}, y);
    if (w.numel() == 0) return w;
    a.y = read<T>(y), a.x = read<T>(map), a.out = write<T>(w);
    share(kernels<T>().conv_grad_filters, a, a.batch * a.height);
    return w;
  });
}

// Keeps the contiguous copies alive as long as the pointers into them are used.
template <class T>
struct JbuInputs {
  std::vector<Tensor> held;
  Jbu<T> a{};

  const T* hold(const Tensor& t, ScalarType type) {
    held.push_back(torch::stable::contiguous(cast(t, type)));
    return read<T>(held.back());
  }

  JbuInputs(const Tensor& keys, const Tensor& temperature, const Tensor& sigma, const std::optional<Tensor>& guidance,
            const std::vector<Tensor>& fixup, const std::optional<Tensor>& keep, const std::optional<Tensor>& rows,
            const std::optional<Tensor>& cols, int64_t radius, ScalarType type) {
    a.batch = keys.size(0), a.depth = keys.size(1), a.radius = radius;
    a.height = keys.size(2) - 2 * radius, a.width = keys.size(3) - 2 * radius;
    a.low = rows ? rows->size(2) : a.side();
    a.guides = guidance ? guidance->size(1) : 0;
    STD_TORCH_CHECK(
        a.taps() <= kMostTaps && a.low * a.low <= kMostTaps && a.guides <= kMostGuides,
        "jbu_filters: the compiled CPU kernels take radius <= 5, folded filters of side <= 11 and <= 8 guidance "
        "channels; for more use heads.upsamplers.eager.jbu_filters");
    a.temperature = *hold(temperature, type), a.sigma = *hold(sigma, type);
    a.keys = hold(keys, type);
    if (guidance) {
      a.guidance = hold(*guidance, type);
      a.weight1 = hold(fixup[0], type), a.bias1 = hold(fixup[1], type);
      a.weight2 = hold(fixup[2], type), a.bias2 = hold(fixup[3], type);
      if (keep) a.keep = hold(*keep, type);
    }
    if (rows) {
      a.rows = hold(*rows, type);
      a.cols = hold(torch::stable::permute(*cols, Sizes{1, 2, 0}), type);
    }
  }
};

Tensor jbu_filters(Tensor keys, Tensor temperature, Tensor sigma, std::optional<Tensor> guidance,
                   std::vector<Tensor> fixup, std::optional<Tensor> keep, std::optional<Tensor> rows,
                   std::optional<Tensor> cols, int64_t radius) {
  return in_full_precision(keys, [&]<class T>(T, ScalarType type) {
    JbuInputs<T> in(keys, temperature, sigma, guidance, fixup, keep, rows, cols, radius, type);
    const Tensor out = make({in.a.batch, in.a.height, in.a.width, in.a.low, in.a.low}, cast(temperature, type));
    in.a.filters = write<T>(out);
    share(kernels<T>().filters, in.a, in.a.batch * in.a.height);
    return out;
  });
}

using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor, std::vector<Tensor>>;

template <class T>
Gradients filters_backward(JbuInputs<T>& in, const Tensor& grad, const Tensor& keys, ScalarType type) {
  Jbu<T>& a = in.a;
  a.grad = in.hold(grad, type);
  const Tensor like = torch::stable::contiguous(cast(keys, type));
  const int64_t items = a.batch * ((a.height + kItemRows - 1) / kItemRows), taps = a.taps(), inputs = taps + a.guides;
  const Tensor d_logits = make({a.batch, taps, a.height, a.width}, like);
  const Tensor d_keys = make({a.batch, a.depth, a.height + 2 * a.radius, a.width + 2 * a.radius}, like);
  const Tensor d_guidance = make(a.guidance ? Sizes{a.batch, a.guides, a.height, a.width} : Sizes{0}, like);
  const Tensor parts = make({items, a.parameters()}, like);
  a.d_logits = write<T>(d_logits), a.d_keys = write<T>(d_keys), a.d_parameters = write<T>(parts);
  if (a.guidance) a.d_guidance = write<T>(d_guidance);
  share(kernels<T>().filters_backward, a, items);
  share(kernels<T>().keys_backward, a, a.batch * (a.height + 2 * a.radius));

  const Tensor sums = torch::stable::sum(parts, Sizes{0});
  int64_t start = 0;
  const auto next = [&](const Sizes& sizes, int64_t count) {
    Tensor part = torch::stable::narrow(const_cast<Tensor&>(sums), 0, start, count);
    start += count;
    return torch::stable::clone(torch::stable::view(part, sizes));
  };
  const Tensor d_temperature = next({}, 1), d_sigma = next({}, 1);
  std::vector<Tensor> d_fixup;
  if (a.guidance) {
    d_fixup.push_back(next({taps, inputs}, taps * inputs));
    d_fixup.push_back(next({taps}, taps));
    d_fixup.push_back(next({taps, taps}, taps * taps));
    d_fixup.push_back(next({taps}, taps));
  }
  return {d_keys, d_temperature, d_sigma, d_guidance, d_fixup};
}

Gradients jbu_filters_backward(Tensor grad, Tensor keys, Tensor temperature, Tensor sigma,
                               std::optional<Tensor> guidance, std::vector<Tensor> fixup, std::optional<Tensor> keep,
                               std::optional<Tensor> rows, std::optional<Tensor> cols, int64_t radius) {
  const auto run = [&]<class T>(T, ScalarType type) {
    JbuInputs<T> in(keys, temperature, sigma, guidance, fixup, keep, rows, cols, radius, type);
    return filters_backward<T>(in, grad, keys, type);
  };
  const ScalarType type = keys.scalar_type();
  if (type == ScalarType::Double) return run(double(), ScalarType::Double);
  auto [d_keys, d_temperature, d_sigma, d_guidance, d_fixup] = run(float(), ScalarType::Float);
  for (Tensor& d : d_fixup) d = cast(d, type);
  return {cast(d_keys, type), cast(d_temperature, type), cast(d_sigma, type), cast(d_guidance, type), d_fixup};
}

}  // namespace
}  // namespace pixelpretext

STABLE_TORCH_LIBRARY_IMPL(pixelpretext, CPU, m) {
  m.impl("adaptive_conv", TORCH_BOX(&pixelpretext::adaptive_conv));
  m.impl("adaptive_conv_grad_x", TORCH_BOX(&pixelpretext::adaptive_conv_grad_x));
  m.impl("adaptive_conv_grad_w", TORCH_BOX(&pixelpretext::adaptive_conv_grad_w));
  m.impl("jbu_filters", TORCH_BOX(&pixelpretext::jbu_filters));
  m.impl("jbu_filters_backward", TORCH_BOX(&pixelpretext::jbu_filters_backward));
}
