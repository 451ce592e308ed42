// Vectors of AVX-512: 32 registers of 16 floats.
#include "functions.hpp"

#ifdef __x86_64__
#pragma GCC target("avx512f,avx512vl,avx512dq,fma,prefer-vector-width=512")

namespace caffe {
namespace kernels {
namespace {
const char kName[] = "AVX-512";
const int kWidth = 16, kRows = 8;
const bool kFused = true;
}  // namespace
}  // namespace kernels
}  // namespace caffe
#define TABLE avx512
#include "table.hpp"
#endif
