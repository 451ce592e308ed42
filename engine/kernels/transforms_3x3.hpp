// Winograd's transforms for F(4x4, 3x3), the 4x4 outputs of a 3x3 convolution, and for its gradient
// to the weights, F(3x3, 4x4). Both multiply polynomials through their values at six points:
//
//   Y = A' [(G w G') * (B' x B)] A        summed over the input channels before A
//
// with x the 6x6 patch of the input, * element by element: 36 products in place of 144 (Lavin and
// Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016). The points are 0, +-a, +-b
// and infinity with a = 1/sqrt 2, b = sqrt 2. They keep the powers small: the error is a fifth to
// an eighth of that of the paper's points 0, +-1, +-2, at most 2e-6 of the largest value. For a
// point p, row p of A' has the powers of p; of G the powers of p over the product of its distances
// to the other points; of B' the coefficients of the product of (x - q) over the other points q.
// Infinity takes the leading coefficients.
//
// In two dimensions a transform goes along the rows and then along the columns. All run over
// neighbouring tiles at once: pixel 4 t + p of a row of the plane is element t of phase p.

const float kA = 0.70710678118654752f, kB = 1.41421356237309505f;     // the points
const float kA3 = 0.35355339059327376f, kB3 = 2.8284271247461901f;    // their third powers

// B': a patch's six values to the points.
struct InputPoints {
  static const int kTaps = 6;
  static inline void Apply(const Vector* d, Vector* out) {
    const Vector a = d[4] - 2.f * d[2], b = kA * (d[3] - 2.f * d[1]);
    const Vector c = d[4] - .5f * d[2], e = kB * (d[3] - .5f * d[1]);
    out[0] = d[0] - 2.5f * d[2] + d[4];
    out[1] = a + b;
    out[2] = a - b;
    out[3] = c + e;
    out[4] = c - e;
    out[5] = d[1] - 2.5f * d[3] + d[5];
  }
};

// G of F(3x3, 4x4): a tile's four values to the points.
struct GradientPoints {
  static const int kTaps = 4;
  static inline void Apply(const Vector* d, Vector* out) {
    const Vector a = (-2 / 3.f) * (d[0] + .5f * d[2]), b = (-2 / 3.f * kA) * (d[1] + .5f * d[3]);
    const Vector c = (1 / 6.f) * d[0] + (1 / 3.f) * d[2], e = (1 / 6.f * kB) * (d[1] + 2.f * d[3]);
    out[0] = d[0];
    out[1] = a + b;
    out[2] = a - b;
    out[3] = c + e;
    out[4] = c - e;
    out[5] = d[3];
  }
};

// G of F(4x4, 3x3): a kernel's three values to the points.
inline void WeightPoints(const Vector* w, int step, Vector* out, int out_step) {
  const Vector a = (-2 / 3.f) * (w[0] + .5f * w[2 * step]), b = (-2 / 3.f * kA) * w[step];
  const Vector c = (1 / 6.f) * w[0] + (1 / 3.f) * w[2 * step], e = (1 / 6.f * kB) * w[step];
  out[0] = w[0];
  out[out_step] = a + b;
  out[2 * out_step] = a - b;
  out[3 * out_step] = c + e;
  out[4 * out_step] = c - e;
  out[5 * out_step] = w[2 * step];
}

// A' of F(4x4, 3x3): six values at the points to four of the output.
inline void Interpolate4(const Vector* m, int step, Vector* out, int out_step) {
  const Vector a = m[step] + m[2 * step], b = m[step] - m[2 * step];
  const Vector c = m[3 * step] + m[4 * step], d = m[3 * step] - m[4 * step];
  out[0] = m[0] + a + c;
  out[out_step] = kA * b + kB * d;
  out[2 * out_step] = .5f * a + 2.f * c;
  out[3 * out_step] = kA3 * b + kB3 * d + m[5 * step];
}

// A' of F(3x3, 4x4): six values at the points to three of a kernel.
inline void Interpolate3(const Vector* m, int step, Vector* out, int out_step) {
  const Vector a = m[step] + m[2 * step], c = m[3 * step] + m[4 * step];
  out[0] = m[0] + a + c;
  out[out_step] = kA * (m[step] - m[2 * step]) + kB * (m[3 * step] - m[4 * step]);
  out[2 * out_step] = .5f * a + 2.f * c + m[5 * step];
}

// Along a row: phases[p] of tiles -1, 0, 1, … to out[i * stride + t] for each point i.
template <typename Points>
inline void TransformRow(float* const* phases, int columns, float* out, size_t stride) {
  const int margin = (Points::kTaps - kTile) / 2;
  for (int t = 0; t < columns; t += kWidth) {
    Vector taps[Points::kTaps], values[kPoints];
    for (int j = 0; j < Points::kTaps; ++j) {
      const int pixel = j - margin + kTile;  // of the tile before
      taps[j] = Load(phases[pixel % kTile] + pixel / kTile + t);
    }
    Points::Apply(taps, values);
    for (int i = 0; i < kPoints; ++i) { Store(out + i * stride + t, values[i]); }
  }
}

// Pixels 4 * column - 4 and following of row y, with zeros outside the plane, split into phases.
inline void SplitRow(const Tiles& tiles, const float* row, float* pixels, float* const* phases) {
  const int begin = kTile * (tiles.column - 1), count = kTile * (tiles.columns + 2);
  const int skipped = begin < 0 ? -begin : 0;
  const int end = begin + count < tiles.width ? begin + count : tiles.width;
  for (int i = 0; i < skipped; ++i) { pixels[i] = 0; }
  const float* next = row + begin + size_t(tiles.height) * tiles.width;  // of the next channel
  for (int i = 0; i < count; i += 64 / 4) { __builtin_prefetch(next + i); }
  __builtin_memcpy(pixels + skipped, row + begin + skipped, 4 * size_t(end - begin - skipped));
  const int rounded = kTile * RoundUp(count / kTile);
  __builtin_memset(pixels + (end - begin), 0, 4 * size_t(rounded - (end - begin)));
  for (int t = 0; t < tiles.columns + 2; t += kWidth) {
    const float* from = pixels + kTile * t;
    const Vector a = Load(from), b = Load(from + kWidth);
    const Vector c = Load(from + 2 * kWidth), d = Load(from + 3 * kWidth);
    const Vector even_low = Even(a, b), odd_low = Odd(a, b);
    const Vector even_high = Even(c, d), odd_high = Odd(c, d);
    Store(phases[0] + t, Even(even_low, even_high));
    Store(phases[1] + t, Even(odd_low, odd_high));
    Store(phases[2] + t, Odd(even_low, even_high));
    Store(phases[3] + t, Odd(odd_low, odd_high));
  }
}

// First every row of pixels along itself, into planes (point, phase of the row) of rows of tiles;
// one more row of tiles above and below holds the margin. Then along the columns, over all tiles.
template <typename Points>
inline void TransformPlane(const Tiles& tiles, const float* plane, float* out, size_t stride,
                           float* scratch) {
  const int margin = (Points::kTaps - kTile) / 2, columns = tiles.columns, count = tiles.count();
  const size_t size = (tiles.rows + 2) * size_t(columns) + 2 * kMaxWidth;
  float *pixels = scratch + kTile * kPoints * size, *phases[kTile];
  const int pitch = columns + 2 + 2 * kMaxWidth;
  for (int p = 0; p < kTile; ++p) { phases[p] = pixels + (4 + p) * pitch + 16 * kMaxWidth; }
  for (int i = -margin; i < kTile * tiles.rows + margin; ++i) {
    const int y = kTile * tiles.row + i, slot = i + kTile;
    float* row = scratch + slot % kTile * size + slot / kTile * columns;
    if (y >= 0 && y < tiles.height) {
      SplitRow(tiles, plane + y * size_t(tiles.width), pixels, phases);
      TransformRow<Points>(phases, columns, row, kTile * size);
    } else {
      for (int p = 0; p < kPoints; ++p) {
        __builtin_memset(row + p * kTile * size, 0, 4 * size_t(columns));
      }
    }
  }
  for (int p = 0; p < kPoints; ++p, scratch += kTile * size, out += stride) {
    for (int t = 0; t < count; t += kWidth) {
      Vector taps[Points::kTaps], values[kPoints];
      for (int j = 0; j < Points::kTaps; ++j) {
        const int slot = j - margin + kTile;
        taps[j] = Load(scratch + slot % kTile * size + slot / kTile * columns + t);
      }
      Points::Apply(taps, values);
      for (int i = 0; i < kPoints; ++i) { Store(out + i * kPoints * stride + t, values[i]); }
    }
  }
}

void TransformInput(const Tiles& tiles, const float* plane, float* out, size_t stride,
                    float* scratch) {
  TransformPlane<InputPoints>(tiles, plane, out, stride, scratch);
}

void TransformGradient(const Tiles& tiles, const float* plane, float* out, size_t stride,
                       float* scratch) {
  TransformPlane<GradientPoints>(tiles, plane, out, stride, scratch);
}

void TransformOutput(const Tiles& tiles, const float* in, size_t stride, float bias, float* plane,
                     float* scratch) {
  const int count = tiles.count();
  const size_t size = kTile * (size_t(count) + kMaxWidth);
  for (int t = 0; t < count; t += kWidth) {
    Vector columns[kTile][kPoints];
    for (int p = 0; p < kPoints; ++p) {
      Vector m[kPoints];
      for (int i = 0; i < kPoints; ++i) { m[i] = Load(in + (kPoints * i + p) * stride + t); }
      Interpolate4(m, 1, &columns[0][p], kPoints);
    }
    for (int i = 0; i < kTile; ++i) {
      Vector y[kTile];
      Interpolate4(columns[i], 1, y, 1);
      for (int p = 0; p < kTile; ++p) { y[p] += bias; }
      float* row = scratch + i * size + kTile * t;
      const Vector even_low = MixLow(y[0], y[2]), even_high = MixHigh(y[0], y[2]);
      const Vector odd_low = MixLow(y[1], y[3]), odd_high = MixHigh(y[1], y[3]);
      Store(row, MixLow(even_low, odd_low));
      Store(row + kWidth, MixHigh(even_low, odd_low));
      Store(row + 2 * kWidth, MixLow(even_high, odd_high));
      Store(row + 3 * kWidth, MixHigh(even_high, odd_high));
    }
  }
  const int left = kTile * tiles.column, all = kTile * tiles.columns;
  const int pixels = left + all < tiles.width ? all : tiles.width - left;
  for (int r = 0; r < kTile * tiles.rows; ++r) {
    const int y = kTile * tiles.row + r;
    if (y < tiles.height) {
      float* row = plane + y * size_t(tiles.width) + left;
      __builtin_memcpy(row, scratch + r % kTile * size + r / kTile * size_t(all),
                       4 * size_t(pixels));
      row += size_t(tiles.height) * tiles.width;  // of the next channel
      for (int i = 0; i < pixels; i += 64 / 4) { __builtin_prefetch(row + i, 1); }
    }
  }
}

void TransformWeights(const float* weights, size_t step, int count, bool rotated, float* out,
                      size_t stride) {
  for (int j = 0; j < count; j += kWidth) {
    const int part = count - j < kWidth ? count - j : kWidth;
    Vector w[9] = {}, rows[3 * kPoints], values[kPlanes];
    for (int i = 0; i < part; ++i) {
      const float* kernel = weights + (j + i) * step;
      for (int e = 0; e < 9; ++e) { w[rotated ? 8 - e : e][i] = kernel[e]; }
    }
    for (int x = 0; x < 3; ++x) { WeightPoints(w + x, 3, rows + x, 3); }
    for (int i = 0; i < kPoints; ++i) { WeightPoints(rows + 3 * i, 1, values + kPoints * i, 1); }
    for (int p = 0; p < kPlanes; ++p) { Store(out + p * stride + j, values[p]); }
  }
}

void TransformProducts(const float* in, size_t stride, int count, float* weights) {
  for (int j = 0; j < count; j += kWidth) {
    const int part = count - j < kWidth ? count - j : kWidth;
    Vector values[kPlanes], rows[3 * kPoints], w[9];
    for (int p = 0; p < kPlanes; ++p) { values[p] = Load(in + p * stride + j); }
    for (int x = 0; x < kPoints; ++x) { Interpolate3(values + x, kPoints, rows + x, kPoints); }
    for (int i = 0; i < 3; ++i) { Interpolate3(rows + kPoints * i, 1, w + 3 * i, 1); }
    for (int i = 0; i < part; ++i) {
      for (int e = 0; e < 9; ++e) { weights[9 * (j + i) + e] += w[e][i]; }
    }
  }
}
