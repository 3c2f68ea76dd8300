// adaptive_conv and its gradients as torch calls them on CUDA. Arguments were checked in Python.

#include "cuda/conv_launch.h"
#include "cuda/launch.h"

namespace pixelpretext {
namespace {

// Calls body with a value of the tensor's element type.
template <typename Body>
void with_type(const Tensor& t, const Body& body) {
  switch (t.scalar_type()) {
    case ScalarType::Float:
      return body(float());
    case ScalarType::Half:
      return body(torch::headeronly::Half());
    case ScalarType::BFloat16:
      return body(torch::headeronly::BFloat16());
    case ScalarType::Double:
      return body(double());
    default:
      STD_TORCH_CHECK(false, "pixelpretext: adaptive_conv takes float32, float64, float16 or bfloat16 on CUDA");
  }
}

// Both tensors must be of the operator's one type and device: gradients come from elsewhere than the checks in Python.
void check_alike(const char* name, const Tensor& a, const Tensor& b) {
  STD_TORCH_CHECK(a.scalar_type() == b.scalar_type() && a.get_device_index() == b.get_device_index(),
                  "pixelpretext: ", name, " needs both tensors in one dtype on one device");
}

ConvShape shape_of(const Tensor& y_or_x, int64_t height, int64_t width, int64_t kernel, int64_t factor,
                   int64_t padding) {
  const int64_t margin = kernel - 1 - 2 * padding;
  return {y_or_x.size(0),
          y_or_x.size(1),
          side(height / factor),
          side(width / factor),
          side(height / factor + margin),
          side(width / factor + margin),
          side(factor),
          side(kernel),
          side(padding)};
}

Tensor adaptive_conv(Tensor x, Tensor w, int64_t factor, int64_t padding, std::optional<Tensor> bias) {
  check_alike("adaptive_conv", x, w);
  if (bias) check_alike("adaptive_conv", x, *bias);
  const Stream stream(x);
  const Tensor map = channels_last(x), filters = packed(w);
  const ConvShape s = shape_of(x, w.size(1), w.size(2), w.size(3), factor, padding);
  const Tensor y = make({s.batch, s.channels, w.size(1), w.size(2)}, x, MemoryFormat::ChannelsLast);
  if (y.numel() == 0) return y;
  const Tensor constant = bias ? packed(*bias) : y;
  with_type(x, [&](auto zero) {
    using T = decltype(zero);
    launch_conv_forward(stream, s, read<T>(map), read<T>(filters), bias ? read<T>(constant) : nullptr, write<T>(y));
  });
  return y;
}

Tensor adaptive_conv_grad_x(Tensor grad, Tensor w, int64_t factor, int64_t padding) {
  check_alike("adaptive_conv_grad_x", grad, w);
  const Stream stream(grad);
  const Tensor above = channels_last(grad), filters = packed(w);
  const ConvShape s = shape_of(grad, w.size(1), w.size(2), w.size(3), factor, padding);
  const Tensor x = make({s.batch, s.channels, s.x_height, s.x_width}, grad, MemoryFormat::ChannelsLast);
  if (x.numel() == 0) return x;
  if (grad.numel() == 0 || w.numel() == 0) return zeros(x);
  with_type(grad, [&](auto zero) {
    using T = decltype(zero);
    launch_conv_grad_x(stream, s, read<T>(above), read<T>(filters), write<T>(x));
  });
  return x;
}

Tensor adaptive_conv_grad_w(Tensor grad, Tensor x, int64_t factor, int64_t padding) {
  check_alike("adaptive_conv_grad_w", grad, x);
  const Stream stream(grad);
  const Tensor above = channels_last(grad), map = channels_last(x);
  const int64_t kernel = x.size(2) + 2 * padding - grad.size(2) / factor + 1;
  const ConvShape s = shape_of(grad, grad.size(2), grad.size(3), kernel, factor, padding);
  const Tensor w = make({s.batch, grad.size(2), grad.size(3), kernel, kernel}, grad);
  if (w.numel() == 0) return w;
  if (grad.numel() == 0 || x.numel() == 0) return zeros(w);
  with_type(grad, [&](auto zero) {
    using T = decltype(zero);
    launch_conv_grad_w(stream, s, read<T>(above), read<T>(map), write<T>(w));
  });
  return w;
}

}  // namespace
}  // namespace pixelpretext

STABLE_TORCH_LIBRARY_IMPL(pixelpretext, CUDA, m) {
  m.impl("adaptive_conv", TORCH_BOX(&pixelpretext::adaptive_conv));
  m.impl("adaptive_conv_grad_x", TORCH_BOX(&pixelpretext::adaptive_conv_grad_x));
  m.impl("adaptive_conv_grad_w", TORCH_BOX(&pixelpretext::adaptive_conv_grad_w));
}
