// Vectors of AVX2: 16 registers of 8 floats.
#include "functions.hpp"

#ifdef __x86_64__
#pragma GCC target("avx2,fma")

namespace caffe {
namespace kernels {
namespace {
const char kName[] = "AVX2";
const int kWidth = 8, kRows = 4;
const bool kFused = true;
}  // namespace
}  // namespace kernels
}  // namespace caffe
#define TABLE avx2
#include "table.hpp"
#endif
