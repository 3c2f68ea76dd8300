// adaptive_conv forward and backward; see kernels.h. Included inside the namespace of one instruction set.
//
// Channels lie in the lanes. A tile is a few neighbouring cells of one low-resolution row and one block of channels: its
// part of x (7 rows × 14 columns × 64 channels: 25 KB) stays in the first-level cache, and the pixels of a cell, which
// share their window, are summed in registers. So x is read from memory once, y written once, and nothing else exists.

constexpr int kTile = 8;    // cells
constexpr int kPixels = 4;  // of one cell, summed together
constexpr int kWide = 4;    // vectors of channels, summed together

// The taps of a window that lie inside the map: first and end, of rows or columns.
struct Span {
  int64_t first, end;
};

inline Span inside(int64_t start, int64_t kernel, int64_t size) {
  return {start < 0 ? -start : 0, start + kernel > size ? size - start : kernel};
}

template <class T, int N, int V, int P>
inline void conv_block(const T* window, int64_t row_step, int64_t channels, Span rows, Span cols, int64_t kernel,
                       const T* const* filters, T* const* out, const T* bias, bool past_caches) {
  Vector<T, N> acc[P][V] = {};
  if (bias)
    for (int p = 0; p < P; ++p)
      for (int v = 0; v < V; ++v) acc[p][v] = load<T, N>(bias + v * N);
  for (int64_t i = rows.first; i < rows.end; ++i) {
    for (int64_t j = cols.first; j < cols.end; ++j) {
      const T* from = window + i * row_step + j * channels;
      Vector<T, N> x[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) x[v] = load<T, N>(from + v * N);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
        const T weight = filters[p][i * kernel + j];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[p][v] += x[v] * weight;
      }
    }
  }
#pragma GCC unroll 4
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v)
      if (past_caches) stream<T, N>(out[p] + v * N, acc[p][v]);
      else store<T, N>(out[p] + v * N, acc[p][v]);
  }
}

template <class T>
struct Cell {
  const Conv<T>& a;
  int64_t image, m, n;

  int64_t pixel(int64_t index) const {
    const int64_t row = m * a.factor + index / a.factor, column = n * a.factor + index % a.factor;
    return (image * a.height * a.factor + row) * a.width * a.factor + column;
  }
};

// All pixels of a cell, V·N channels from `channel` on.
template <class T, int N, int V>
inline void conv_cell(const Cell<T>& cell, int64_t channel) {
  const Conv<T>& a = cell.a;
  const int64_t row = cell.m - a.padding, column = cell.n - a.padding, row_step = a.x_width() * a.channels;
  const Span rows = inside(row, a.kernel, a.x_height()), cols = inside(column, a.kernel, a.x_width());
  const T* window = a.x + cell.image * a.x_height() * row_step + row * row_step + column * a.channels + channel;
  const T* bias = a.bias ? a.bias + channel : nullptr;
  const int64_t pixels = a.factor * a.factor;
  int64_t done = 0;
  while (done < pixels) {
    const T* filters[kPixels];
    T* out[kPixels];
    const int64_t count = pixels - done >= kPixels ? kPixels : 1;
    for (int64_t p = 0; p < count; ++p) {
      const int64_t pixel = cell.pixel(done + p);
      filters[p] = a.filters + pixel * a.taps();
      out[p] = a.out + pixel * a.channels + channel;
    }
    if (count == kPixels)
      conv_block<T, N, V, kPixels>(window, row_step, a.channels, rows, cols, a.kernel, filters, out,
                                       bias, a.past_caches);
    else
      conv_block<T, N, V, 1>(window, row_step, a.channels, rows, cols, a.kernel, filters, out,
                                       bias, a.past_caches);
    done += count;
  }
}

// A row of tiles with vectors of N channels, N ≤ C. The last vector may overlap the one before: it writes the same again.
template <class T, int N>
void conv_row(const Conv<T>& a, int64_t image, int64_t m) {
  for (int64_t tile = 0; tile < a.width; tile += kTile) {
    const int64_t end = tile + kTile < a.width ? tile + kTile : a.width;
    int64_t channel = 0;
    for (; channel + kWide * N <= a.channels; channel += kWide * N)
      for (int64_t n = tile; n < end; ++n) conv_cell<T, N, kWide>({a, image, m, n}, channel);
    for (; channel < a.channels; channel += N) {
      if (channel + N > a.channels) channel = a.channels - N;
      for (int64_t n = tile; n < end; ++n) conv_cell<T, N, 1>({a, image, m, n}, channel);
    }
  }
}

template <class T>
void conv(const Conv<T>& a, int64_t begin, int64_t end) {
  constexpr int N = kLanes<T>;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t image = item / a.height, m = item % a.height;
    if (a.channels >= N) conv_row<T, N>(a, image, m);
    else if (N > 8 && a.channels >= 8) conv_row<T, 8>(a, image, m);
    else if (N > 4 && a.channels >= 4) conv_row<T, 4>(a, image, m);
    else conv_row<T, 1>(a, image, m);
  }
#if defined(__x86_64__)
  if (a.past_caches) __builtin_ia32_sfence();  // before another thread reads what was stored past the caches
#endif
}

// Gradient of x, gathered: `kPixels` neighbouring columns of one row of x sum over every pixel whose window holds them.
template <class T, int N, int V>
inline void grad_x_block(const Conv<T>& a, int64_t image, int64_t row, int64_t column, int64_t count, int64_t channel) {
  Vector<T, N> acc[kPixels][V] = {};
  const int64_t low_row = row + a.padding, low_column = column + a.padding;
  const int64_t first_m = low_row - a.kernel + 1 > 0 ? low_row - a.kernel + 1 : 0;
  const int64_t last_m = low_row < a.height - 1 ? low_row : a.height - 1;
  const int64_t first_n = low_column - a.kernel + 1 > 0 ? low_column - a.kernel + 1 : 0;
  const int64_t last_n = low_column + count - 1 < a.width - 1 ? low_column + count - 1 : a.width - 1;
  for (int64_t m = first_m; m <= last_m; ++m) {
    for (int64_t n = first_n; n <= last_n; ++n) {
      const Cell<T> cell{a, image, m, n};
      for (int64_t index = 0; index < a.factor * a.factor; ++index) {
        const int64_t pixel = cell.pixel(index);
        const T* filter = a.filters + pixel * a.taps() + (low_row - m) * a.kernel;
        Vector<T, N> y[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) y[v] = load<T, N>(a.y + pixel * a.channels + channel + v * N);
#pragma GCC unroll 4
        for (int q = 0; q < kPixels; ++q) {
          const int64_t j = low_column + q - n;
          const T weight = j >= 0 && j < a.kernel ? filter[j] : T(0);
#pragma GCC unroll 4
          for (int v = 0; v < V; ++v) acc[q][v] += y[v] * weight;
        }
      }
    }
  }
  T* out = a.out + ((image * a.x_height() + row) * a.x_width() + column) * a.channels + channel;
#pragma GCC unroll 4
  for (int q = 0; q < kPixels; ++q) {
    if (q >= count) break;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store<T, N>(out + q * a.channels + v * N, acc[q][v]);
  }
}

template <class T, int N>
void grad_x_row(const Conv<T>& a, int64_t image, int64_t row) {
  int64_t channel = 0;
  for (; channel + kWide * N <= a.channels; channel += kWide * N)
    for (int64_t column = 0; column < a.x_width(); column += kPixels) {
      const int64_t left = a.x_width() - column;
      grad_x_block<T, N, kWide>(a, image, row, column, left < kPixels ? left : kPixels, channel);
    }
  for (; channel < a.channels; channel += N) {
    if (channel + N > a.channels) channel = a.channels - N;
    for (int64_t column = 0; column < a.x_width(); column += kPixels) {
      const int64_t left = a.x_width() - column;
      grad_x_block<T, N, 1>(a, image, row, column, left < kPixels ? left : kPixels, channel);
    }
  }
}

template <class T>
void conv_grad_x(const Conv<T>& a, int64_t begin, int64_t end) {
  constexpr int N = kLanes<T>;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t image = item / a.x_height(), row = item % a.x_height();
    if (a.channels >= N) grad_x_row<T, N>(a, image, row);
    else if (N > 8 && a.channels >= 8) grad_x_row<T, 8>(a, image, row);
    else if (N > 4 && a.channels >= 4) grad_x_row<T, 4>(a, image, row);
    else grad_x_row<T, 1>(a, image, row);
  }
}

// Gradient of the filters: J neighbouring taps of P pixels of a cell are scalar products over the channels.
template <class T, int P, int J>
inline void grad_filters_block(const T* window, int64_t channels, const T* const* y, T* const* out) {
  constexpr int N = kLanes<T>;
  Vector<T, N> acc[P][J] = {};
  int64_t c = 0;
  for (; c + N <= channels; c += N) {
    Vector<T, N> grad[P];
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) grad[p] = load<T, N>(y[p] + c);
#pragma GCC unroll 7
    for (int j = 0; j < J; ++j) {
      const Vector<T, N> x = load<T, N>(window + j * channels + c);
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) acc[p][j] += grad[p] * x;
    }
  }
  for (int p = 0; p < P; ++p)
    for (int j = 0; j < J; ++j) {
      T total = sum<T, N>(acc[p][j]);
      for (int64_t rest = c; rest < channels; ++rest) total += y[p][rest] * window[j * channels + rest];
      out[p][j] = total;
    }
}

template <class T, int P>
inline void grad_filters_pixels(const Cell<T>& cell, int64_t first) {
  const Conv<T>& a = cell.a;
  const int64_t row = cell.m - a.padding, column = cell.n - a.padding, row_step = a.x_width() * a.channels;
  const Span rows = inside(row, a.kernel, a.x_height()), cols = inside(column, a.kernel, a.x_width());
  const T* y[P];
  T* filters[P];
  for (int p = 0; p < P; ++p) {
    const int64_t pixel = cell.pixel(first + p);
    y[p] = a.y + pixel * a.channels;
    filters[p] = a.out + pixel * a.taps();
    for (int64_t tap = 0; tap < a.taps(); ++tap) filters[p][tap] = 0;
  }
  for (int64_t i = rows.first; i < rows.end; ++i) {
    const T* from = a.x + cell.image * a.x_height() * row_step + (row + i) * row_step + column * a.channels;
    T* out[P];
    for (int64_t j = cols.first; j < cols.end;) {
      for (int p = 0; p < P; ++p) out[p] = filters[p] + i * a.kernel + j;
      const int64_t left = cols.end - j;
      if (left >= 7) {
        grad_filters_block<T, P, 7>(from + j * a.channels, a.channels, y, out);
        j += 7;
      } else if (left >= 3) {
        grad_filters_block<T, P, 3>(from + j * a.channels, a.channels, y, out);
        j += 3;
      } else {
        grad_filters_block<T, P, 1>(from + j * a.channels, a.channels, y, out);
        j += 1;
      }
    }
  }
}

template <class T>
void conv_grad_filters(const Conv<T>& a, int64_t begin, int64_t end) {
  const int64_t pixels = a.factor * a.factor;
  for (int64_t item = begin; item < end; ++item)
    for (int64_t n = 0; n < a.width; ++n) {
      const Cell<T> cell{a, item / a.height, item % a.height, n};
      int64_t done = 0;
      for (; done + kPixels <= pixels; done += kPixels) grad_filters_pixels<T, kPixels>(cell, done);
      for (; done < pixels; ++done) grad_filters_pixels<T, 1>(cell, done);
    }
}
