// jbu_filters forward and backward; see kernels.h. Included inside the namespace of one instruction set.
//
// Pixels lie in the lanes: a run of kRun vectors of one row goes through range logits, softmax, fix-up and folding while
// its 49 numbers per pixel stay in the first-level cache; only the finished filters are written. The backward pass does
// the same again and keeps the gradient of the logits, from which a second pass gathers that of the keys.
// Lanes behind the end of a row hold whatever follows in memory; they are never written, and have gradient 0.

constexpr int kRun = 2;

template <class T>
struct Run {
  static constexpr int N = kLanes<T>;
  typedef Vector<T, N> V;
  const Jbu<T>& a;
  int64_t image, row, column;

  int64_t count() const {
    const int64_t left = a.width - column;
    return left < kRun * N ? left : kRun * N;
  }
  int64_t left(int g) const { return count() - g * N > 0 ? count() - g * N : 0; }
  // Where the run starts in a (B, planes, H, W) tensor.
  int64_t offset(int64_t planes, int64_t plane) const {
    return ((image * planes + plane) * a.height + row) * a.width + column;
  }
  int64_t pixel() const { return offset(1, 0); }
};

template <class T>
using Line = Vector<T, kLanes<T>>[kRun];  // one number of each pixel of a run

template <class T>
inline Vector<T, kLanes<T>> load_before(const T* from, const T* end) {
  return load_part<T, kLanes<T>>(from, end - from > 0 ? end - from : 0);
}

// Calls block.template operator()<J>(start) so that J = 7, 3 or 1 neighbours are done together.
template <class Block>
inline void in_blocks(int64_t size, const Block& block) {
  int64_t start = 0;
  for (; start + 7 <= size; start += 7) block.template operator()<7>(start);
  for (; start + 3 <= size; start += 3) block.template operator()<3>(start);
  for (; start < size; ++start) block.template operator()<1>(start);
}

template <class T>
void scalar_products(const Run<T>& run, Line<T>* dots) {
  constexpr int N = kLanes<T>;
  const Jbu<T>& a = run.a;
  const int64_t height = a.height + 2 * a.radius, width = a.width + 2 * a.radius, side = a.side();
  const T* keys = a.keys + run.image * a.depth * height * width + run.column;
  const T* end = a.keys + a.batch * a.depth * height * width;
  for (int64_t i = 0; i < side; ++i)
    in_blocks(side, [&]<int J>(int64_t start) {
      Line<T> acc[J] = {};
      for (int64_t d = 0; d < a.depth; ++d) {
        const T* plane = keys + d * height * width;
        const T* centre = plane + (run.row + a.radius) * width + a.radius;
        const T* other = plane + (run.row + i) * width + start;
        const bool whole = other + J + kRun * N <= end && centre + kRun * N <= end;
#pragma GCC unroll 2
        for (int g = 0; g < kRun; ++g) {
          const Vector<T, N> k = whole ? load<T, N>(centre + g * N) : load_before(centre + g * N, end);
#pragma GCC unroll 7
          for (int j = 0; j < J; ++j)
            acc[j][g] += k * (whole ? load<T, N>(other + j + g * N) : load_before(other + j + g * N, end));
        }
      }
      for (int j = 0; j < J; ++j)
        for (int g = 0; g < kRun; ++g) dots[i * side + start + j][g] = acc[j][g];
    });
}

template <class T>
inline T squared_offset(const Jbu<T>& a, int64_t tap) {
  if (a.radius == 0) return 0;
  const T i = T(tap / a.side() - a.radius) / a.radius, j = T(tap % a.side() - a.radius) / a.radius;
  return i * i + j * j;
}

template <class T>
void softmax(const Jbu<T>& a, const Line<T>* dots, Line<T>* soft) {
  constexpr int N = kLanes<T>;
  T spatial[kMostTaps];
  for (int64_t tap = 0; tap < a.taps(); ++tap) spatial[tap] = -squared_offset(a, tap) / (2 * a.sigma * a.sigma);
  for (int g = 0; g < kRun; ++g) {
    Vector<T, N> top = dots[0][g] * a.temperature + spatial[0], total = {};
    for (int64_t tap = 0; tap < a.taps(); ++tap) {
      soft[tap][g] = dots[tap][g] * a.temperature + spatial[tap];
      top = largest(top, soft[tap][g]);
    }
    for (int64_t tap = 0; tap < a.taps(); ++tap) {
      soft[tap][g] = exponential<N>(soft[tap][g] - top);
      total += soft[tap][g];
    }
    const Vector<T, N> share = T(1) / total;
    for (int64_t tap = 0; tap < a.taps(); ++tap) soft[tap][g] *= share;
  }
}

// out[o] = Σ_k weight[o · to + k · from] · in[k] (+ bias[o])
template <class T>
void dense(const T* weight, int64_t to, int64_t from, const T* bias, const Line<T>* in, int64_t inputs, Line<T>* out,
           int64_t outputs) {
  in_blocks(outputs, [&]<int J>(int64_t start) {
    Line<T> acc[J];
    for (int j = 0; j < J; ++j)
      for (int g = 0; g < kRun; ++g) acc[j][g] = Vector<T, kLanes<T>>{} + (bias ? bias[start + j] : T(0));
    for (int64_t k = 0; k < inputs; ++k)
#pragma GCC unroll 7
      for (int j = 0; j < J; ++j) {
        const T w = weight[(start + j) * to + k * from];
#pragma GCC unroll 2
        for (int g = 0; g < kRun; ++g) acc[j][g] += in[k][g] * w;
      }
    for (int j = 0; j < J; ++j)
      for (int g = 0; g < kRun; ++g) out[start + j][g] = acc[j][g];
  });
}

// The fix-up's layers: what the backward pass needs again.
template <class T>
struct Fixup {
  Line<T> inputs[kMostTaps + kMostGuides];  // [s; g]
  Line<T> before[kMostTaps];                // GELU
  Line<T> hidden[kMostTaps];                // behind GELU and dropout
};

// Turns the softmax in `kernel` into the corrected kernel.
template <class T>
void fix_up(const Run<T>& run, Fixup<T>& fix, Line<T>* kernel) {
  constexpr int N = kLanes<T>;
  const Jbu<T>& a = run.a;
  const int64_t taps = a.taps(), inputs = taps + a.guides;
  const T* end = a.guidance + a.batch * a.guides * a.height * a.width;
  for (int g = 0; g < kRun; ++g) {
    for (int64_t tap = 0; tap < taps; ++tap) fix.inputs[tap][g] = kernel[tap][g];
    for (int64_t k = 0; k < a.guides; ++k)
      fix.inputs[taps + k][g] = load_before(a.guidance + run.offset(a.guides, k) + g * N, end);
  }
  dense<T>(a.weight1, inputs, 1, a.bias1, fix.inputs, inputs, fix.before, taps);
  for (int64_t o = 0; o < taps; ++o)
    for (int g = 0; g < kRun; ++g) {
      const Vector<T, N> x = fix.before[o][g], bell = exponential<N>(x * x * T(-0.5));
      fix.hidden[o][g] = x * normal<N>(x, bell) * (a.keep ? a.keep[run.image * taps + o] : T(1));
    }
  Line<T> step[kMostTaps];
  dense<T>(a.weight2, taps, 1, a.bias2, fix.hidden, taps, step, taps);
  for (int64_t o = 0; o < taps; ++o)
    for (int g = 0; g < kRun; ++g) kernel[o][g] += step[o][g] * T(0.1);
}

// folded[p][q] = Σ_ij rows[i][p] · kernel[i][j] · cols[j][q], or the reverse: kernel from folded.
template <class T, bool reverse>
void fold(const Run<T>& run, Line<T>* kernel, Line<T>* folded) {
  constexpr int N = kLanes<T>;
  const Jbu<T>& a = run.a;
  const int64_t side = a.side(), low = a.low;
  const T* rows = a.rows + run.row * side * low;
  const T* end = a.cols + side * low * a.width;
  Line<T> half[kMostTaps * 2];  // (low, side)
  for (int64_t g = 0; g < kRun; ++g) {
    if (reverse)
      for (int64_t p = 0; p < low; ++p)
        for (int64_t j = 0; j < side; ++j) {
          Vector<T, N> acc = {};
          for (int64_t q = 0; q < low; ++q)
            acc += folded[p * low + q][g] * load_before(a.cols + (j * low + q) * a.width + run.column + g * N, end);
          half[p * side + j][g] = acc;
        }
    else
      for (int64_t p = 0; p < low; ++p)
        for (int64_t j = 0; j < side; ++j) {
          Vector<T, N> acc = {};
          for (int64_t i = 0; i < side; ++i) acc += kernel[i * side + j][g] * rows[i * low + p];
          half[p * side + j][g] = acc;
        }
    if (reverse)
      for (int64_t i = 0; i < side; ++i)
        for (int64_t j = 0; j < side; ++j) {
          Vector<T, N> acc = {};
          for (int64_t p = 0; p < low; ++p) acc += half[p * side + j][g] * rows[i * low + p];
          kernel[i * side + j][g] = acc;
        }
    else
      for (int64_t q = 0; q < low; ++q) {
        Vector<T, N> cols[kMostTaps];
        for (int64_t j = 0; j < side; ++j)
          cols[j] = load_before(a.cols + (j * low + q) * a.width + run.column + g * N, end);
        for (int64_t p = 0; p < low; ++p) {
          Vector<T, N> acc = {};
          for (int64_t j = 0; j < side; ++j) acc += half[p * side + j][g] * cols[j];
          folded[p * low + q][g] = acc;
        }
      }
  }
}

template <class T>
void filters(const Jbu<T>& a, int64_t begin, int64_t end) {
  constexpr int N = kLanes<T>;
  Line<T> dots[kMostTaps], kernel[kMostTaps], folded[kMostTaps];
  Fixup<T> fix;
  for (int64_t item = begin; item < end; ++item)
    for (int64_t column = 0; column < a.width; column += kRun * N) {
      const Run<T> run{a, item / a.height, item % a.height, column};
      scalar_products<T>(run, dots);
      softmax<T>(a, dots, kernel);
      if (a.guidance) fix_up<T>(run, fix, kernel);
      if (a.rows) fold<T, false>(run, kernel, folded);
      const Line<T>* done = a.rows ? folded : kernel;
      const int64_t size = a.low * a.low;
      T* out = a.filters + run.pixel() * size;
      for (int64_t lane = 0; lane < run.count(); ++lane)
        for (int64_t q = 0; q < size; ++q) out[lane * size + q] = done[q][lane / N][lane % N];
    }
}

// Adds a run's products of two lists of lines to a matrix whose entries are kept lane by lane.
template <class T>
inline void add_products(const Line<T>* left, int64_t outputs, const Line<T>* right, int64_t inputs, T* sums) {
  constexpr int N = kLanes<T>;
  for (int64_t o = 0; o < outputs; ++o)
    for (int64_t k = 0; k < inputs; ++k) {
      T* at = sums + (o * inputs + k) * N;
      Vector<T, N> acc = load<T, N>(at);
#pragma GCC unroll 2
      for (int g = 0; g < kRun; ++g) acc += left[o][g] * right[k][g];
      store<T, N>(at, acc);
    }
}

// The same for a sum of lines.
template <class T>
inline void add_lines(const Line<T>* lines, int64_t count, T* sums) {
  constexpr int N = kLanes<T>;
  for (int64_t o = 0; o < count; ++o)
    for (int g = 0; g < kRun; ++g) store<T, N>(sums + o * N, load<T, N>(sums + o * N) + lines[o][g]);
}

// From the gradient of the corrected kernel to that of the softmax, in place; `sums` as Jbu::parameters() orders them.
template <class T>
void fix_up_backward(const Run<T>& run, const Fixup<T>& fix, Line<T>* grad, T* sums) {
  constexpr int N = kLanes<T>;
  const Jbu<T>& a = run.a;
  const int64_t taps = a.taps(), inputs = taps + a.guides;
  Line<T> step[kMostTaps], hidden[kMostTaps], first[kMostTaps + kMostGuides];
  for (int64_t o = 0; o < taps; ++o)
    for (int g = 0; g < kRun; ++g) step[o][g] = grad[o][g] * T(0.1);
  dense<T>(a.weight2, 1, taps, nullptr, step, taps, hidden, taps);
  for (int64_t o = 0; o < taps; ++o)
    for (int g = 0; g < kRun; ++g) {
      const Vector<T, N> x = fix.before[o][g], bell = exponential<N>(x * x * T(-0.5));
      const Vector<T, N> slope = normal<N>(x, bell) + x * bell * T(0.39894228040143268);  // 1/√2π
      hidden[o][g] *= slope * (a.keep ? a.keep[run.image * taps + o] : T(1));
    }
  dense<T>(a.weight1, 1, inputs, nullptr, hidden, taps, first, inputs);
  for (int64_t tap = 0; tap < taps; ++tap)
    for (int g = 0; g < kRun; ++g) grad[tap][g] += first[tap][g];
  for (int64_t k = 0; k < a.guides; ++k)
    for (int g = 0; g < kRun; ++g)
      store_part<T, N>(a.d_guidance + run.offset(a.guides, k) + g * N, first[taps + k][g], run.left(g));
  add_products<T>(hidden, taps, fix.inputs, inputs, sums);
  add_lines<T>(hidden, taps, sums += taps * inputs * N);
  add_products<T>(step, taps, fix.hidden, taps, sums += taps * N);
  add_lines<T>(step, taps, sums + taps * taps * N);
}

template <class T>
void softmax_backward(const Run<T>& run, const Line<T>* dots, const Line<T>* soft, const Line<T>* grad, T* sums) {
  constexpr int N = kLanes<T>;
  const Jbu<T>& a = run.a;
  for (int g = 0; g < kRun; ++g) {
    Vector<T, N> inner = {}, temperature = {}, spread = {};
    for (int64_t tap = 0; tap < a.taps(); ++tap) inner += grad[tap][g] * soft[tap][g];
    for (int64_t tap = 0; tap < a.taps(); ++tap) {
      const Vector<T, N> logit = soft[tap][g] * (grad[tap][g] - inner);
      temperature += logit * dots[tap][g];
      spread += logit * squared_offset(a, tap);
      store_part<T, N>(a.d_logits + run.offset(a.taps(), tap) + g * N, logit * a.temperature, run.left(g));
    }
    store<T, N>(sums, load<T, N>(sums) + temperature);
    store<T, N>(sums + N, load<T, N>(sums + N) + spread / (a.sigma * a.sigma * a.sigma));
  }
}

template <class T>
void run_backward(const Run<T>& run, T* sums) {
  constexpr int N = kLanes<T>;
  const Jbu<T>& a = run.a;
  Line<T> dots[kMostTaps], soft[kMostTaps], kernel[kMostTaps], grad[kMostTaps], folded[kMostTaps];
  Fixup<T> fix;
  scalar_products<T>(run, dots);
  softmax<T>(a, dots, soft);
  const int64_t size = a.low * a.low;
  Line<T>* from = a.rows ? folded : grad;
  for (int64_t q = 0; q < size; ++q)
    for (int64_t lane = 0; lane < kRun * N; ++lane)
      from[q][lane / N][lane % N] = lane < run.count() ? a.grad[(run.pixel() + lane) * size + q] : T(0);
  if (a.rows) fold<T, true>(run, grad, folded);
  if (a.guidance) {
    for (int64_t tap = 0; tap < a.taps(); ++tap)
      for (int g = 0; g < kRun; ++g) kernel[tap][g] = soft[tap][g];
    fix_up<T>(run, fix, kernel);
    fix_up_backward<T>(run, fix, grad, sums + 2 * N);
  }
  softmax_backward<T>(run, dots, soft, grad, sums);
}

template <class T>
void filters_backward(const Jbu<T>& a, int64_t begin, int64_t end) {
  constexpr int N = kLanes<T>;
  const int64_t per_image = (a.height + kItemRows - 1) / kItemRows, parameters = a.parameters();
  T* sums = new T[parameters * N];
  for (int64_t item = begin; item < end; ++item) {
    std::memset(sums, 0, sizeof(T) * parameters * N);
    const int64_t first = item % per_image * kItemRows;
    for (int64_t row = first; row < a.height && row < first + kItemRows; ++row)
      for (int64_t column = 0; column < a.width; column += kRun * N)
        run_backward<T>({a, item / per_image, row, column}, sums);
    for (int64_t p = 0; p < parameters; ++p) a.d_parameters[item * parameters + p] = sum<T, N>(load<T, N>(sums + p * N));
  }
  delete[] sums;
}

// A key is the centre of its own pixel's logits and a neighbour in those of others; both are gathered, row by row.
template <class T>
void keys_backward(const Jbu<T>& a, int64_t begin, int64_t end) {
  const int64_t side = a.side(), width = a.width + 2 * a.radius, height = a.height + 2 * a.radius;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t image = item / height, row = item % height;
    const T* logits = a.d_logits + image * a.taps() * a.height * a.width;
    for (int64_t d = 0; d < a.depth; ++d) {
      const T* plane = a.keys + (image * a.depth + d) * height * width;
      T* out = a.d_keys + (image * a.depth + d) * height * width + row * width;
      for (int64_t x = 0; x < width; ++x) out[x] = 0;
      for (int64_t i = 0; i < side; ++i) {
        const int64_t as_neighbour = row - i, as_centre = row - a.radius;
        for (int64_t j = 0; j < side; ++j) {
          const T* taps = logits + (i * side + j) * a.height * a.width;
          if (as_neighbour >= 0 && as_neighbour < a.height) {
            const T* __restrict__ slope = taps + as_neighbour * a.width;
            const T* __restrict__ key = plane + (as_neighbour + a.radius) * width + a.radius;
            T* __restrict__ to = out + j;
            for (int64_t x = 0; x < a.width; ++x) to[x] += slope[x] * key[x];
          }
          if (as_centre >= 0 && as_centre < a.height) {
            const T* __restrict__ slope = taps + as_centre * a.width;
            const T* __restrict__ key = plane + (as_centre + i) * width + j;
            T* __restrict__ to = out + a.radius;
            for (int64_t x = 0; x < a.width; ++x) to[x] += slope[x] * key[x];
          }
        }
      }
    }
  }
}
