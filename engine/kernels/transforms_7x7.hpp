// Winograd's transforms for F(2x2, 7x7), the 2x2 outputs of a 7x7 convolution, and for its gradient
// to the weights, F(7x7, 2x2): 64 products in place of 196. transforms_3x3.hpp has the mathematics.
// The points are 0, +-1/2, +-1, +-2 and infinity; of 105 other choices none was clearly more exact.
// The error is up to four times that of F(4x4, 3x3), in the gradient of the weights up to ten.
//
// A layer of such kernels has many channels and few pixels (fc6: 512 and 16x16), so the elements of
// a vector are neighbouring channels: an array (a, b, channels) is one of vectors.
//
// No sum is of two products: compilers would fuse it with the one or the other, in each set of
// instructions as they like, and the bits would not be the same.

const int kEdge = 7;  // side of a kernel

const float kPoint[] = {.5f, 1, 2};
// 1 over the product of a point's distances to the others; the same for its negative.
const float kScale[] = {32 / 45.f, -2 / 9.f, 1 / 90.f}, kNoScale[] = {1, 1, 1};

// The values at the points, of which even[i] has the even powers of kPoint[i] and odd[i] the odd
// ones over the first.
inline void Combine(const Vector* even, const Vector* odd, const float* scale, Vector at_0,
                    Vector at_infinity, Vector* out, int step) {
  out[0] = at_0;
  for (int i = 0; i < 3; ++i) {
    out[(2 * i + 1) * step] = scale[i] * (even[i] + kPoint[i] * odd[i]);
    out[(2 * i + 2) * step] = scale[i] * (even[i] - kPoint[i] * odd[i]);
  }
  out[7 * step] = at_infinity;
}

// B': a patch's eight values to the points.
inline void PatchPoints(const Vector* d, int step, Vector* out, int out_step) {
  const Vector d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
  const Vector d4 = d[4 * step], d5 = d[5 * step], d6 = d[6 * step];
  const Vector even[] = {4.f * d2 + (d6 - 5.f * d4), d2 + (d6 - 4.25f * d4),
                         .25f * d2 + (d6 - 1.25f * d4)};
  const Vector odd[] = {4.f * d1 + (d5 - 5.f * d3), d1 + (d5 - 4.25f * d3),
                        .25f * d1 + (d5 - 1.25f * d3)};
  Combine(even, odd, kNoScale, (d6 - d[0]) + 5.25f * (d2 - d4),
          (d[7 * step] - d1) + 5.25f * (d3 - d5), out, out_step);
}

// G of F(2x2, 7x7): a kernel's seven values to the points.
inline void KernelPoints(const Vector* w, int step, Vector* out, int out_step) {
  const Vector w1 = w[step], w2 = w[2 * step], w3 = w[3 * step];
  const Vector w4 = w[4 * step], w5 = w[5 * step], w6 = w[6 * step];
  const Vector even[] = {w[0] + .25f * (w2 + .25f * (w4 + .25f * w6)), (w[0] + w2) + (w4 + w6),
                         w[0] + 4.f * (w2 + 4.f * (w4 + 4.f * w6))};
  const Vector odd[] = {w1 + .25f * (w3 + .25f * w5), w1 + (w3 + w5),
                        w1 + 4.f * (w3 + 4.f * w5)};
  Combine(even, odd, kScale, -w[0], w6, out, out_step);
}

// G of F(7x7, 2x2): a tile's two values to the points.
inline void TilePoints(Vector first, Vector second, Vector* out, int out_step) {
  const Vector even[] = {first, first, first}, odd[] = {second, second, second};
  Combine(even, odd, kScale, -first, second, out, out_step);
}

// A': eight values at the points to `count` of the output, 2 in F(2x2, 7x7), or of a kernel, 7 in
// F(7x7, 2x2).
template <int count>
inline void Interpolate(const Vector* m, int step, Vector* out, int out_step) {
  Vector terms[2][3];  // of the even powers, of the odd ones
  for (int i = 0; i < 3; ++i) {
    terms[0][i] = m[(2 * i + 1) * step] + m[(2 * i + 2) * step];
    terms[1][i] = m[(2 * i + 1) * step] - m[(2 * i + 2) * step];
  }
  for (int power = 0; power < count; ++power) {
    const Vector* term = terms[power % 2];
    const float factor = 1 << power;
    out[power * out_step] = 1 / factor * term[0] + (factor * term[2] + term[1]);
  }
  out[0] += m[0];
  out[(count - 1) * out_step] += m[7 * step];
}

// `lanes` arrays of `count` floats, `step` floats apart, to out (count, kWidth), zeros in the lanes
// that are left.
inline void Interleave(const float* in, size_t step, int lanes, int count, float* out) {
  const int whole = lanes == kWidth ? count / kWidth * kWidth : 0;
  Transpose(whole, in, step, out, kWidth);
  for (int i = whole; i < count; ++i) {
    for (int lane = 0; lane < kWidth; ++lane) {
      out[i * kWidth + lane] = lane < lanes ? in[lane * step + i] : 0;
    }
  }
}

// in (count, kWidth) to `lanes` arrays of `count` floats, `step` floats apart; added to them if
// `add`. Up to kWidth rows behind `in` are read.
inline void Separate(const float* in, int count, int lanes, float* out, size_t step, bool add) {
  for (int i = 0; i < count; i += kWidth) {
    float square[kWidth * kWidth];
    Transpose(kWidth, in + i * kWidth, kWidth, square, kWidth);
    const int part = count - i < kWidth ? count - i : kWidth;
    for (int lane = 0; lane < lanes; ++lane) {
      float* to = out + lane * step + i;
      const float* from = square + lane * kWidth;
      for (int j = 0; j < part; ++j) { to[j] = add ? to[j] + from[j] : from[j]; }
    }
  }
}

void TransformInput(const Planes& planes, const float* in, float* out, size_t pitch,
                    size_t stride, float* scratch) {
  const int height = planes.height, width = planes.width, margin = kEdge / 2;
  const int across = (width + 1) / 2, row = 2 * across + 2 * margin;
  float* points = scratch + RoundUp(height * width) * kWidth;  // (kPoints, row) vectors
  Interleave(in, size_t(height) * width, planes.channels, height * width, scratch);
  __builtin_memset(points, 0, sizeof(float) * kPoints * row * kWidth);
  for (int top = -margin; top < height - margin; top += 2) {
    for (int x = 0; x < width; ++x) {
      Vector column[kPoints], values[kPoints];
      for (int i = 0; i < kPoints; ++i) {
        const int y = top + i;
        column[i] = y >= 0 && y < height ? Load(scratch + (y * width + x) * kWidth) : Vector{};
      }
      PatchPoints(column, 1, values, 1);
      for (int i = 0; i < kPoints; ++i) {
        Store(points + (i * row + margin + x) * kWidth, values[i]);
      }
    }
    for (int x = 0; x < 2 * across; x += 2, out += pitch) {
      for (int i = 0; i < kPoints; ++i) {
        Vector patch[kPoints], values[kPoints];
        for (int j = 0; j < kPoints; ++j) { patch[j] = Load(points + (i * row + x + j) * kWidth); }
        PatchPoints(patch, 1, values, 1);
        for (int j = 0; j < kPoints; ++j) { Store(out + (kPoints * i + j) * stride, values[j]); }
      }
    }
  }
}

void TransformGradient(const Planes& planes, const float* in, float* out, size_t pitch,
                       size_t stride, float* scratch) {
  const int height = planes.height, width = planes.width;
  Interleave(in, size_t(height) * width, planes.channels, height * width, scratch);
  for (int y = 0; y < height; y += 2) {
    for (int x = 0; x < width; x += 2, out += pitch) {
      const float* tile = scratch + (y * width + x) * kWidth;
      const bool right = x + 1 < width, below = y + 1 < height;
      const Vector upper = Load(tile), upper_right = right ? Load(tile + kWidth) : Vector{};
      tile += width * kWidth;
      const Vector lower = below ? Load(tile) : Vector{};
      const Vector lower_right = right && below ? Load(tile + kWidth) : Vector{};
      Vector columns[2 * kPoints], values[kPoints];
      TilePoints(upper, lower, columns, 2);
      TilePoints(upper_right, lower_right, columns + 1, 2);
      for (int i = 0; i < kPoints; ++i) {
        TilePoints(columns[2 * i], columns[2 * i + 1], values, 1);
        for (int j = 0; j < kPoints; ++j) { Store(out + (kPoints * i + j) * stride, values[j]); }
      }
    }
  }
}

void TransformOutput(const Planes& planes, const float* in, size_t pitch, size_t stride,
                     const float* bias, float* out, float* scratch) {
  const int height = planes.height, width = planes.width;
  Vector offset = {};
  for (int i = 0; bias && i < planes.channels; ++i) { offset[i] = bias[i]; }
  for (int y = 0; y < height; y += 2) {
    for (int x = 0; x < width; x += 2, in += pitch) {
      Vector rows[2 * kPoints], tile[4];
      for (int j = 0; j < kPoints; ++j) {
        Vector column[kPoints];
        for (int i = 0; i < kPoints; ++i) { column[i] = Load(in + (kPoints * i + j) * stride); }
        Interpolate<kTile>(column, 1, rows + j, kPoints);
      }
      Interpolate<kTile>(rows, 1, tile, 1);
      Interpolate<kTile>(rows + kPoints, 1, tile + 2, 1);
      for (int i = 0; i < 4; ++i) {
        if (y + i / 2 < height && x + i % 2 < width) {
          Store(scratch + ((y + i / 2) * width + x + i % 2) * kWidth, tile[i] + offset);
        }
      }
    }
  }
  const size_t size = size_t(height) * width;
  Separate(scratch, size, planes.channels, out, size, false);
}

// The cache lines of a kernel, whose place may be behind the end of the array.
template <int kWrite>
inline void Prefetch(const float* kernel) {
  for (int i = 0; i < 4; ++i) { __builtin_prefetch(kernel + 16 * i, kWrite); }
}

void TransformWeights(const float* weights, size_t lane_step, int lanes, size_t row_step,
                      int rows, bool rotated, float* out, size_t pitch, size_t stride) {
  for (int r = 0; r < rows; ++r, weights += row_step, out += pitch) {
    float kernels[kEdge * kEdge * kWidth];
    Vector w[kEdge * kEdge], columns[kPoints * kEdge], values[kPoints];
    for (int i = 0; i < lanes; ++i) { Prefetch<0>(weights + row_step + i * lane_step); }
    Interleave(weights, lane_step, lanes, kEdge * kEdge, kernels);
    for (int e = 0; e < kEdge * kEdge; ++e) {
      w[e] = Load(kernels + (rotated ? kEdge * kEdge - 1 - e : e) * kWidth);
    }
    for (int x = 0; x < kEdge; ++x) { KernelPoints(w + x, kEdge, columns + x, kEdge); }
    for (int i = 0; i < kPoints; ++i) {
      KernelPoints(columns + kEdge * i, 1, values, 1);
      for (int j = 0; j < kPoints; ++j) { Store(out + (kPoints * i + j) * stride, values[j]); }
    }
  }
}

void TransformProducts(const float* in, size_t stride, int lanes, float* weights) {
  Vector rows[kEdge * kPoints];
  for (int i = 0; i < lanes; ++i) { Prefetch<1>(weights + kEdge * kEdge * (kWidth + i)); }
  float kernels[(kEdge * kEdge + kWidth) * kWidth];
  for (int j = 0; j < kPoints; ++j) {
    Vector column[kPoints];
    for (int i = 0; i < kPoints; ++i) { column[i] = Load(in + (kPoints * i + j) * stride); }
    Interpolate<kEdge>(column, 1, rows + j, kPoints);
  }
  for (int i = 0; i < kEdge; ++i) {
    Vector values[kEdge];
    Interpolate<kEdge>(rows + kPoints * i, 1, values, 1);
    for (int j = 0; j < kEdge; ++j) { Store(kernels + (kEdge * i + j) * kWidth, values[j]); }
  }
  Separate(kernels, kEdge * kEdge, lanes, weights, kEdge * kEdge, true);
}
