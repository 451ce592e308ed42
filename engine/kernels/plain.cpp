// Vectors that every processor of the architecture has.
#include "functions.hpp"

namespace caffe {
namespace kernels {
namespace {
const char kName[] = "plain";
const int kWidth = 4, kRows = 4;
const bool kFused = false;
}  // namespace
}  // namespace kernels
}  // namespace caffe
#define TABLE plain
#include "table.hpp"
