// jbu_filters and its gradients as torch calls them on CUDA. Arguments were checked in Python.

#include <tuple>

#include "cuda/filters_launch.h"
#include "cuda/launch.h"

namespace pixelpretext {
namespace {

using Optional = std::optional<Tensor>;

// The operator's inputs, contiguous, and what the kernels need to know of them.
struct Inputs {
  std::vector<Tensor> held;  // keys, temperature, sigma, guidance, weight1, bias1, weight2, bias2, keep, rows, cols
  FilterShape shape{};

  Inputs(const Tensor& keys, const Tensor& temperature, const Tensor& sigma, const Optional& guidance,
         const std::vector<Tensor>& fixup, const Optional& keep, const Optional& rows, const Optional& cols,
         int64_t radius) {
    const ScalarType type = keys.scalar_type();
    STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double,
                    "pixelpretext: jbu_filters takes float32 or float64 on CUDA");
    STD_TORCH_CHECK(guidance ? fixup.size() == 4 : fixup.empty(), "pixelpretext: guidance and fixup belong together");
    for (const Tensor& t : {keys, temperature, sigma}) add(t);
    add(guidance);
    for (size_t k = 0; k < 4; ++k) add(guidance ? Optional(fixup[k]) : std::nullopt);
    add(keep);
    add(rows);
    add(cols);
    const int r = side(radius);
    shape = {keys.size(0),
             side(keys.size(1)),
             guidance ? side(guidance->size(1)) : 0,
             side(keys.size(2)) - 2 * r,
             side(keys.size(3)) - 2 * r,
             r,
             rows ? side(rows->size(2)) : 2 * r + 1,
             guidance.has_value(),
             rows.has_value()};
  }

  template <typename S>
  FilterInputs<S> pointers() const {
    const auto at = [&](size_t k) { return held[k].defined() ? read<S>(held[k]) : nullptr; };
    return {at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10)};
  }

 private:
  void add(const Optional& tensor) {
    if (tensor) {
      const bool fits = held.empty() || (tensor->scalar_type() == held[0].scalar_type() &&
                                         tensor->get_device_index() == held[0].get_device_index());
      STD_TORCH_CHECK(fits, "pixelpretext: jbu_filters needs all tensors in the dtype of keys on the device of keys");
    }
    held.push_back(tensor ? packed(*tensor) : Tensor());
  }
};

template <typename Body>
void with_type(const Tensor& t, const Body& body) {
  t.scalar_type() == ScalarType::Double ? body(double()) : body(float());
}

// Bytes of shared memory to plan with: enough for 64 pixels per block on every card, more only where 8 need it.
int64_t shared_bytes(const Stream& stream, const FilterShape& s, bool backward, int bytes) {
  const int64_t most = stream.most_shared_bytes(), least = least_shared_bytes(s, backward, bytes);
  STD_TORCH_CHECK(least <= most, "pixelpretext: radius=", s.radius, " needs ", least,
                  " bytes of shared memory per block on CUDA, this device has ", most, "; take a smaller radius");
  return most;
}

Tensor jbu_filters(Tensor keys, Tensor temperature, Tensor sigma, Optional guidance, std::vector<Tensor> fixup,
                   Optional keep, Optional rows, Optional cols, int64_t radius) {
  const Stream stream(keys);
  const Inputs in(keys, temperature, sigma, guidance, fixup, keep, rows, cols, radius);
  const FilterShape& s = in.shape;
  const Tensor filters = make({s.batch, s.height, s.width, s.low, s.low}, keys);
  if (filters.numel() == 0) return filters;
  with_type(keys, [&](auto zero) {
    using S = decltype(zero);
    launch_filters_forward(stream, s, in.pointers<S>(), write<S>(filters), shared_bytes(stream, s, false, sizeof(S)));
  });
  return filters;
}

using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor, std::vector<Tensor>>;

Tensor make_like(const Tensor& t) {
  const auto sizes = t.sizes();
  return make(Sizes(sizes.begin(), sizes.end()), t);
}

// A gradient in the layout that empty_like gives its tensor, as the fake kernels promise.
Tensor laid_out_as(const Tensor& t, const Tensor& gradient) {
  if (t.is_contiguous()) return gradient;
  Tensor out = torch::stable::empty_like(t);
  return torch::stable::copy_(out, gradient);
}

Gradients jbu_filters_backward(Tensor grad, Tensor keys, Tensor temperature, Tensor sigma, Optional guidance,
                               std::vector<Tensor> fixup, Optional keep, Optional rows, Optional cols, int64_t radius) {
  const Stream stream(keys);
  STD_TORCH_CHECK(grad.scalar_type() == keys.scalar_type(), "pixelpretext: the gradient must have the dtype of keys");
  const Inputs in(keys, temperature, sigma, guidance, fixup, keep, rows, cols, radius);
  const FilterShape& s = in.shape;
  const Tensor above = packed(grad);
  std::vector<Tensor> d{make_like(keys), make_like(temperature), make_like(sigma),
                        guidance ? make_like(*guidance) : make({0}, keys)};
  std::vector<Tensor> d_fixup;
  for (const Tensor& parameter : fixup) d_fixup.push_back(make_like(parameter));
  if (grad.numel() == 0) {
    for (auto* some : {&d, &d_fixup}) {
      for (Tensor& t : *some) zeros(t);
    }
    return {d[0], d[1], d[2], d[3], d_fixup};
  }
  with_type(keys, [&](auto zero) {
    using S = decltype(zero);
    const int64_t shared = shared_bytes(stream, s, true, sizeof(S));
    const Tensor d_logits = make({s.batch, s.taps(), s.height, s.width}, keys);
    const Tensor partial = make({filter_parts(s, shared, sizeof(S)), s.parameters()}, keys);
    const auto to = [&](size_t k) { return s.fixup ? write<S>(d_fixup[k]) : nullptr; };
    launch_filters_backward(
        stream, s, in.pointers<S>(), read<S>(above),
        FilterGradients<S>{write<S>(d_logits), s.fixup ? write<S>(d[3]) : nullptr, write<S>(partial)},
        ParameterGradients<S>{to(0), to(1), to(2), to(3), write<S>(d[1]), write<S>(d[2])}, write<S>(d[0]), shared);
  });
  for (size_t k = 0; k < fixup.size(); ++k) d_fixup[k] = laid_out_as(fixup[k], d_fixup[k]);
  return {laid_out_as(keys, d[0]), d[1], d[2], d[3], d_fixup};
}

}  // namespace
}  // namespace pixelpretext

STABLE_TORCH_LIBRARY_IMPL(pixelpretext, CUDA, m) {
  m.impl("jbu_filters", TORCH_BOX(&pixelpretext::jbu_filters));
  m.impl("jbu_filters_backward", TORCH_BOX(&pixelpretext::jbu_filters_backward));
}
