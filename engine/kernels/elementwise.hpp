// Stock Caffe's pooling and rectifier to the last bit, also for NaN and infinity, and a sum. The
// templates take a vector or, behind the last whole one, a number.

// The first of the largest values counts; a NaN and minus infinity never do, and leave place -1.
template <typename Value, typename Place>
inline void FindLargest(const Value (&values)[4], Place base, int width, Value* largest,
                        Place* place) {
  const int offsets[4] = {0, 1, width, width + 1};
  *largest = Value{} - __FLT_MAX__;
  *place = Place{} - 1;
  for (int i = 0; i < 4; ++i) {
    *place = values[i] > *largest ? base + offsets[i] : *place;
    *largest = values[i] > *largest ? values[i] : *largest;
  }
}

void Pool(int height, int width, const float* in, float* out, int* places) {
  for (int y = 0; y < height; y += 2, in += 2 * width) {
    const float* below = in + width;
    int x = 0;
    for (; x + 2 * kWidth <= width; x += 2 * kWidth, out += kWidth, places += kWidth) {
      const Vector a = Load(in + x), b = Load(in + x + kWidth);
      const Vector c = Load(below + x), d = Load(below + x + kWidth);
      Vector largest;
      Integers place;
      FindLargest({Even(a, b), Odd(a, b), Even(c, d), Odd(c, d)}, Sequence(2, 0) + y * width + x,
                  width, &largest, &place);
      Store(out, largest);
      *reinterpret_cast<UnalignedIntegers*>(places) = place;
    }
    for (; x < width; x += 2, ++out, ++places) {
      FindLargest({in[x], in[x + 1], below[x], below[x + 1]}, y * width + x, width, out, places);
    }
  }
}

template <typename Value>
inline Value Rectify(Value x, float slope) {
  const Value zero = {};
  return (x < zero ? zero : x) + slope * (zero < x ? zero : x);
}

void ReluForward(size_t count, float slope, const float* in, float* out) {
  size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) { Store(out + i, Rectify(Load(in + i), slope)); }
  for (; i < count; ++i) { out[i] = Rectify(in[i], slope); }
}

template <typename Value>
inline Value RectifyGradient(Value x, float slope, Value diff) {
  const Value zero = {}, one = zero + 1;
  return diff * ((x > zero ? one : zero) + slope * (x <= zero ? one : zero));
}

void ReluBackward(size_t count, float slope, const float* in, const float* out_diff,
                  float* in_diff) {
  size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    Store(in_diff + i, RectifyGradient(Load(in + i), slope, Load(out_diff + i)));
  }
  for (; i < count; ++i) { in_diff[i] = RectifyGradient(in[i], slope, out_diff[i]); }
}

double Sum(size_t count, const float* in) {
  double parts[kMaxWidth] = {}, sum = 0;
  size_t i = 0;
  for (; i + kMaxWidth <= count; i += kMaxWidth) {
    for (int j = 0; j < kMaxWidth; ++j) { parts[j] += in[i + j]; }
  }
  for (int j = 0; j < kMaxWidth; ++j) { sum += parts[j]; }
  for (; i < count; ++i) { sum += in[i]; }
  return sum;
}
