// Matrix products from operands as the transforms leave them, without packing. A block of kRows
// rows and up to three vectors of columns stays in registers while it runs over kDepth of the
// depth, and is then added to the result: a sum of sums, whose rounding error is smaller. Every
// element is summed in the same order, whatever the numbers of rows and columns.

const int kDepth = 128;

template <int kVectors>
inline void MultiplyBlock(int depth, const float* a, size_t a_pitch, const float* b, size_t b_pitch,
                          float* c, size_t c_pitch, bool add) {
  Vector sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = Vector{};
    }
  }
  for (int l = 0; l < depth; ++l, b += b_pitch) {
    Vector row[kVectors];
    for (int v = 0; v < kVectors; ++v) { row[v] = Load(b + v * kWidth); }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vector factor = Splat(a[r * a_pitch + l]);
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) { sums[r][v] += factor * row[v]; }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      float* to = c + r * c_pitch + v * kWidth;
      Store(to, add ? Load(to) + sums[r][v] : sums[r][v]);
    }
  }
}

void Multiply(int rows, int columns, int depth, const float* a, size_t a_pitch, const float* b,
              size_t b_pitch, float* c, size_t c_pitch, bool add) {
  const int vectors = RoundUp(columns) / kWidth, blocks = (vectors + 2) / 3;
  for (int r = 0; r < rows; r += kRows, a += kRows * a_pitch, c += kRows * c_pitch) {
    for (int block = 0, v = 0; block < blocks; ++block) {
      const int part = (vectors - v) / (blocks - block);  // as even as possible: 4 is 2 and 2
      float* to = c + v * kWidth;
      for (int l = 0; l < depth; l += kDepth) {
        const float *left = a + l, *right = b + l * b_pitch + v * kWidth;
        const int length = depth - l < kDepth ? depth - l : kDepth;
        if (part == 3) {
          MultiplyBlock<3>(length, left, a_pitch, right, b_pitch, to, c_pitch, add || l);
        } else if (part == 2) {
          MultiplyBlock<2>(length, left, a_pitch, right, b_pitch, to, c_pitch, add || l);
        } else {
          MultiplyBlock<1>(length, left, a_pitch, right, b_pitch, to, c_pitch, add || l);
        }
      }
      v += part;
    }
  }
}

// A square of kWidth rows at a time: mixing rows i and i + kWidth / 2 log2(kWidth) times.
void Transpose(int columns, const float* in, size_t in_pitch, float* out, size_t out_pitch) {
  for (int t = 0; t < columns; t += kWidth) {
    Vector rows[kWidth], mixed[kWidth];
    for (int i = 0; i < kWidth; ++i) { rows[i] = Load(in + i * in_pitch + t); }
    for (int distance = 1; distance < kWidth; distance *= 2) {
      for (int i = 0; i < kWidth / 2; ++i) {
        mixed[2 * i] = MixLow(rows[i], rows[i + kWidth / 2]);
        mixed[2 * i + 1] = MixHigh(rows[i], rows[i + kWidth / 2]);
      }
      for (int i = 0; i < kWidth; ++i) { rows[i] = mixed[i]; }
    }
    const int part = columns - t < kWidth ? columns - t : kWidth;
    for (int i = 0; i < part; ++i) { Store(out + (t + i) * out_pitch, rows[i]); }
  }
}
