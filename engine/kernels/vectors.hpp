// Vectors of kWidth floats in the compiler's own notation (GCC and Clang), and shuffles of them.
// Included by one file per set of instructions, in a namespace without a name; kWidth and kRows are
// that file's.

typedef float Vector __attribute__((vector_size(4 * kWidth)));
typedef float Unaligned __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));
typedef int Integers __attribute__((vector_size(4 * kWidth)));
typedef int UnalignedIntegers __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));

inline Vector Load(const float* from) { return *reinterpret_cast<const Unaligned*>(from); }
inline void Store(float* to, Vector value) { *reinterpret_cast<Unaligned*>(to) = value; }
inline Vector Splat(float value) { return value - Vector{}; }
inline int RoundUp(int number) { return (number + kWidth - 1) / kWidth * kWidth; }

// Element i is scale * i + offset.
inline Integers Sequence(int scale, int offset) {
  Integers sequence;
  for (int i = 0; i < kWidth; ++i) { sequence[i] = scale * i + offset; }
  return sequence;
}

// Every other element of a and b, one after the other, from the first or from the second on.
inline Vector Even(Vector a, Vector b) { return __builtin_shuffle(a, b, Sequence(2, 0)); }
inline Vector Odd(Vector a, Vector b) { return __builtin_shuffle(a, b, Sequence(2, 1)); }

// The elements of a and b in turn: those of the first halves, or of the second.
inline Integers Alternating(int first) {
  Integers order;
  for (int i = 0; i < kWidth; ++i) { order[i] = first + i / 2 + i % 2 * kWidth; }
  return order;
}
inline Vector MixLow(Vector a, Vector b) { return __builtin_shuffle(a, b, Alternating(0)); }
inline Vector MixHigh(Vector a, Vector b) {
  return __builtin_shuffle(a, b, Alternating(kWidth / 2));
}
