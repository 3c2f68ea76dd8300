// Runs CUDA kernels on the CPU, slowly and strictly: every thread of a block is a fibre that runs until it waits.
//
// A barrier lets a thread on only when all threads of its block have reached it, a shuffle when all lanes of its warp
// have. In between, threads run one after the other in the order of the chosen schedule, so code that needs a barrier
// it has not got reads something else in one order than in another. Shared memory starts as NaN, guard zones around it
// are compared afterwards, loads of vectors are checked for alignment, and memory() guards what kernels get.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#define PIXELPRETEXT_EMULATED
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define SHARED_MEMORY(type, name) type* name = static_cast<type*>(emulation::block->shared)

struct Index {
  unsigned x;
};

namespace emulation {

constexpr int kWarpSize = 32;
constexpr size_t kStack = 64 << 10;   // bytes per thread
constexpr size_t kGuard = 4096;       // bytes on either side of a buffer
constexpr unsigned char kNaN = 0xff;  // all bytes set is a NaN in every floating type

struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A buffer of numbers between two guard zones: reads beyond it give NaN, writes beyond it are found by check().
class Memory {
 public:
  Memory(size_t bytes, const void* from = nullptr) : bytes_(bytes), all_(bytes + 2 * kGuard + 16, kNaN) {
    if (from) std::memcpy(data(), from, bytes);
  }
  void* data() {
    const auto start = reinterpret_cast<uintptr_t>(all_.data()) + kGuard;
    return reinterpret_cast<void*>((start + 15) / 16 * 16);
  }
  void check(const char* what) {
    const auto* first = static_cast<unsigned char*>(data());
    const auto touched = [](unsigned char byte) { return byte != kNaN; };
    if (std::any_of(static_cast<const unsigned char*>(all_.data()), first, touched) ||
        std::any_of(first + bytes_, static_cast<const unsigned char*>(all_.data()) + all_.size(), touched)) {
      throw Fault(std::string("a kernel wrote beyond ") + what);
    }
  }

 private:
  size_t bytes_;
  std::vector<unsigned char> all_;
};

enum class Wait { none, block, warp, done };

struct Thread {
  ucontext_t context;  // where it starts
  jmp_buf place;       // where it waits; jumps, unlike swapcontext, ask nothing of the system
  bool started = false;
  std::unique_ptr<char[]> stack{new char[kStack]};
  Wait wait = Wait::none;
  double given = 0;  // to a shuffle
};

struct Block {
  std::vector<Thread> threads;
  ucontext_t start;
  jmp_buf scheduler;
  int running = 0;
  void* shared = nullptr;
  std::function<void()> body;
  std::string fault;
};

inline Block* block = nullptr;
inline Index thread_index, block_index, grid_size;

inline void pause(Wait wait) {
  Thread& thread = block->threads[block->running];
  thread.wait = wait;
  if (!_setjmp(thread.place)) _longjmp(block->scheduler, 1);
}

inline void enter() {
  try {
    block->body();
  } catch (const std::exception& error) {  // must not leave the fibre: it goes on in run_block()
    block->fault = error.what();
  }
  pause(Wait::done);
}

// Lets a thread run until it waits.
inline void resume(int index) {
  Thread& thread = block->threads[index];
  block->running = index;
  thread_index.x = index;
  if (_setjmp(block->scheduler)) return;
  if (thread.started) _longjmp(thread.place, 1);
  thread.started = true;
  swapcontext(&block->start, &thread.context);
}

// Lets those go on whose barrier or warp is complete; false when all have ended.
inline bool release() {
  auto& threads = block->threads;
  const auto count = [&](auto first, auto last, Wait wait) {
    return std::count_if(first, last, [&](const Thread& t) { return t.wait == wait; });
  };
  if (count(threads.begin(), threads.end(), Wait::done) == static_cast<long>(threads.size())) return false;
  bool any = false;
  if (count(threads.begin(), threads.end(), Wait::block) == static_cast<long>(threads.size())) {
    for (Thread& thread : threads) thread.wait = Wait::none;
    return true;
  }
  for (size_t first = 0; first < threads.size(); first += kWarpSize) {
    const auto begin = threads.begin() + first, end = threads.begin() + std::min(first + kWarpSize, threads.size());
    if (count(begin, end, Wait::warp) != end - begin) continue;
    std::for_each(begin, end, [](Thread& t) { t.wait = Wait::none; });
    any = true;
  }
  if (!any) throw Fault("threads wait at different places, or some have ended before a barrier");
  return true;
}

// The order in which threads (or blocks) run: 0 forwards, 1 backwards, others at random.
inline std::vector<int> order(int count, int schedule, std::mt19937& random) {
  std::vector<int> indices(count);
  std::iota(indices.begin(), indices.end(), 0);
  if (schedule == 1) std::reverse(indices.begin(), indices.end());
  if (schedule > 1) std::shuffle(indices.begin(), indices.end(), random);
  return indices;
}

inline void run_block(int schedule, std::mt19937& random) {
  for (Thread& thread : block->threads) {
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.get();
    thread.context.uc_stack.ss_size = kStack;
    thread.context.uc_link = nullptr;
    thread.wait = Wait::none;
    thread.started = false;
    makecontext(&thread.context, enter, 0);
  }
  do {
    for (int index : order(static_cast<int>(block->threads.size()), schedule, random)) {
      while (block->threads[index].wait == Wait::none) {
        resume(index);
        if (!block->fault.empty()) throw Fault(block->fault);
      }
    }
  } while (release());
}

// Runs a kernel: blocks one after the other, each with its own shared memory.
inline void launch(int64_t blocks, int threads, int64_t shared_bytes, int schedule, std::function<void()> body) {
  std::mt19937 random(schedule);
  Block state;
  state.threads = std::vector<Thread>(threads);
  state.body = std::move(body);
  block = &state;
  grid_size.x = static_cast<unsigned>(blocks);
  for (int index : order(static_cast<int>(blocks), schedule, random)) {
    Memory shared(shared_bytes);
    state.shared = shared.data();
    block_index.x = index;
    run_block(schedule, random);
    shared.check("its shared memory");
  }
  block = nullptr;
}

template <typename To>
To load_aligned(const void* from) {
  if (reinterpret_cast<uintptr_t>(from) % alignof(To)) throw Fault("a vector is loaded from an odd address");
  To to;
  std::memcpy(&to, from, sizeof(To));
  return to;
}

}  // namespace emulation

inline void __syncthreads() {
  emulation::pause(emulation::Wait::block);
}

template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  auto& threads = emulation::block->threads;
  const int self = emulation::block->running;
  threads[self].given = static_cast<double>(value);
  emulation::pause(emulation::Wait::warp);
  const T other = static_cast<T>(threads[self ^ mask].given);
  emulation::pause(emulation::Wait::warp);  // nobody gives anew before all have read
  return other;
}

#define threadIdx emulation::thread_index
#define blockIdx emulation::block_index
#define gridDim emulation::grid_size
using std::erf;
using std::exp;
using std::min;
