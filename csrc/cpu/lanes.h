// Vectors of the width that the including file chose (PIXELPRETEXT_BYTES), and the functions that softmax and GELU need.
//
// Compiler vectors, not intrinsics: one source serves every instruction set. Included inside the namespace of one
// instruction set and after all standard headers: no inline function may be shared between files compiled for
// different machines, or the linker keeps whichever it meets first.

template <class T, int N>
struct VectorOf {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
  typedef T loose __attribute__((vector_size(N * sizeof(T)), aligned(alignof(T)), may_alias));
};
template <class T, int N>
using Vector = typename VectorOf<T, N>::type;

template <class T>
constexpr int kLanes = PIXELPRETEXT_BYTES / sizeof(T);

template <class T, int N>
inline Vector<T, N> load(const T* from) {
  return *reinterpret_cast<const typename VectorOf<T, N>::loose*>(from);
}

template <class T, int N>
inline void store(T* to, Vector<T, N> v) {
  *reinterpret_cast<typename VectorOf<T, N>::loose*>(to) = v;
}

// The first `count` numbers of a row whose end is near; the other lanes are 0.
template <class T, int N>
inline Vector<T, N> load_part(const T* from, int64_t count) {
  if (count >= N) return load<T, N>(from);
  Vector<T, N> v = {};
  for (int64_t i = 0; i < count; ++i) v[i] = from[i];
  return v;
}

template <class T, int N>
inline void store_part(T* to, Vector<T, N> v, int64_t count) {
  if (count >= N) return store<T, N>(to, v);
  for (int64_t i = 0; i < count; ++i) to[i] = v[i];
}

// Stores past the caches, for results that will not stay there anyway: the line is not read first. `to` is aligned.
template <class T, int N>
inline void stream(T* to, Vector<T, N> v) {
#if defined(__clang__)
  __builtin_nontemporal_store(v, reinterpret_cast<Vector<T, N>*>(to));
#elif PIXELPRETEXT_BYTES == 64
  if constexpr (sizeof(v) == 64) return __builtin_ia32_movntps512(reinterpret_cast<float*>(to), (Vector<float, 16>)v);
  store<T, N>(to, v);
#elif PIXELPRETEXT_BYTES == 32
  if constexpr (sizeof(v) == 32) return __builtin_ia32_movntps256(reinterpret_cast<float*>(to), (Vector<float, 8>)v);
  store<T, N>(to, v);
#else
  store<T, N>(to, v);
#endif
}

template <class T, int N>
inline T sum(Vector<T, N> v) {
  T total = 0;
  for (int i = 0; i < N; ++i) total += v[i];
  return total;
}

template <class V>
inline V largest(V a, V b) {
  return a > b ? a : b;
}

// e^x for x ≤ 0 (and up to 80): 2^n · e^r with |r| ≤ ln2 / 2 and a polynomial of degree 6; relative error 2e-7.
template <int N>
inline Vector<float, N> exponential(Vector<float, N> x) {
  x = largest(Vector<float, N>{} - 87.0f, x);  // in this order NaN stays NaN
  const Vector<float, N> shifted = x * 1.44269504f + 12582912.0f;  // 1.5 · 2^23: rounds to an integer
  const Vector<float, N> n = shifted - 12582912.0f;
  const Vector<float, N> r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Vector<float, N> p = r * 1.38888889e-3f + 8.33333333e-3f;
  p = p * r + 4.16666667e-2f;
  p = p * r + 1.66666667e-1f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  typedef Vector<int32_t, N> Bits;
  const Bits power = (__builtin_convertvector(n, Bits) + 127) << 23;
  Vector<float, N> scale;
  static_assert(sizeof(scale) == sizeof(power));
  __builtin_memcpy(&scale, &power, sizeof(scale));
  return p * scale;
}

template <int N>
inline Vector<double, N> exponential(Vector<double, N> x) {
  for (int i = 0; i < N; ++i) x[i] = std::exp(x[i]);
  return x;
}

// Cumulative distribution of the standard normal, Φ(x), given the bell e^(−x²/2). Abramowitz and Stegun 7.1.26: absolute
// error 1e-7, that of float32 itself near 1.
template <int N>
inline Vector<float, N> normal(Vector<float, N> x, Vector<float, N> bell) {
  const Vector<float, N> magnitude = x < 0.0f ? -x : x;
  const Vector<float, N> t = 1.0f / (1.0f + 0.3275911f * 0.70710678f * magnitude);
  Vector<float, N> p = t * 1.061405429f - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const Vector<float, N> tail = 0.5f * p * t * bell;
  return x < 0.0f ? tail : 1.0f - tail;
}

template <int N>
inline Vector<double, N> normal(Vector<double, N> x, Vector<double, N>) {
  for (int i = 0; i < N; ++i) x[i] = 0.5 * std::erfc(-0.70710678118654752 * x[i]);
  return x;
}
