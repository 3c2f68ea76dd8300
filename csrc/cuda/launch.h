// Between torch and the kernels: devices, streams, launches, errors. Only torch's stable ABI is used.
#pragma once

#include <cuda_runtime.h>

#include <limits>
#include <optional>
#include <vector>

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

namespace pixelpretext {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Sizes = std::vector<int64_t>;

// Makes a tensor's device the current one as long as it lives, and launches on torch's current stream there.
class Stream {
 public:
  explicit Stream(const Tensor& on) : device_(on.get_device_index()), guard_(device_) {
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device_, &stream));
    stream_ = static_cast<cudaStream_t>(stream);
  }

  // Most shared memory that a block may ask for on this device, in bytes.
  int64_t most_shared_bytes() const {
    int bytes = 0;
    STD_CUDA_CHECK(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device_));
    return bytes;
  }

  template <typename... Parameters, typename... Arguments>
  void operator()(void (*kernel)(Parameters...), int64_t blocks, int threads, int64_t shared_bytes,
                  const Arguments&... arguments) const {
    STD_TORCH_CHECK(blocks <= std::numeric_limits<int>::max(), "pixelpretext: ", blocks,
                    " blocks are more than CUDA launches at once; give fewer images at a time");
    if (shared_bytes > 48 << 10) {
      STD_CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                          cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)));
    }
    kernel<<<static_cast<unsigned>(blocks), threads, shared_bytes, stream_>>>(arguments...);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }

 private:
  int32_t device_;
  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_ = nullptr;
};

inline Tensor make(const Sizes& sizes, const Tensor& like, std::optional<MemoryFormat> format = std::nullopt) {
  return torch::stable::empty(sizes, like.scalar_type(), std::nullopt, like.device(), std::nullopt, format);
}

inline Tensor packed(const Tensor& t) {
  return torch::stable::contiguous(t);
}

inline Tensor channels_last(const Tensor& t) {
  return torch::stable::contiguous(t, MemoryFormat::ChannelsLast);
}

template <typename T>
const T* read(const Tensor& t) {
  return static_cast<const T*>(t.const_data_ptr());
}

template <typename T>
T* write(const Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

inline Tensor zeros(Tensor t) {
  return torch::stable::zero_(t);
}

// The sides of maps are ints in the kernels; products of them are 64 bits wide.
inline int side(int64_t size) {
  STD_TORCH_CHECK(size >= 0 && size < (1 << 30), "pixelpretext: a side of ", size, " pixels is not supported");
  return static_cast<int>(size);
}

}  // namespace pixelpretext
