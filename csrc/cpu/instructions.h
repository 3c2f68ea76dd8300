// Instantiates the kernels for one instruction set. The including file names it:
//   PIXELPRETEXT_SET    namespace and suffix of kernels_*()
//   PIXELPRETEXT_BYTES  width of a vector
// and switches its instructions on after the standard headers, which stay as they are on every machine.

namespace pixelpretext {
namespace PIXELPRETEXT_SET {

#include "lanes.h"

#include "adaptive_conv.h"
#include "jbu_filters.h"

template <class T>
constexpr Kernels<T> table() {
  return {conv<T>, conv_grad_x<T>, conv_grad_filters<T>, filters<T>, filters_backward<T>, keys_backward<T>};
}

}  // namespace PIXELPRETEXT_SET

#define PIXELPRETEXT_JOIN(a, b) a##b
#define PIXELPRETEXT_NAME(set) PIXELPRETEXT_JOIN(kernels_, set)

template <class T>
const Kernels<T>& PIXELPRETEXT_NAME(PIXELPRETEXT_SET)() {
  static constexpr Kernels<T> kernels = PIXELPRETEXT_SET::table<T>();
  return kernels;
}
template const Kernels<float>& PIXELPRETEXT_NAME(PIXELPRETEXT_SET)<float>();
template const Kernels<double>& PIXELPRETEXT_NAME(PIXELPRETEXT_SET)<double>();

}  // namespace pixelpretext
