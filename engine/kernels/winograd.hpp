// The convolutions with kernels of 3x3 and of 7x7, and how their matrices lie in memory.
#ifndef CAFFE_KERNELS_WINOGRAD_HPP_
#define CAFFE_KERNELS_WINOGRAD_HPP_

#include <cstddef>

#include "functions.hpp"
#include "kernels.hpp"

namespace caffe {
namespace kernels {

inline size_t RoundUp(size_t number, size_t factor) {
  return (number + factor - 1) / factor * factor;
}

// Floats from a row of `count` to the next: room for what the transforms overwrite, and an odd
// number of cache lines, since rows apart by powers of two displace each other from the cache.
inline size_t Pitch(size_t count) {
  return (RoundUp(count + kMaxWidth, kMaxWidth) / kMaxWidth | 1) * kMaxWidth;
}

// Floats from a point's matrix to the next, which must not displace each other either.
inline size_t Stride(size_t rows, size_t pitch) { return rows * pitch + 5 * kMaxWidth; }

// Convolve: y from x, or with `to_bottom` from the gradient of a layer's output that of its input.
// `shape` is that of the pass from x to y, `weights` (outputs, inputs, side, side) the layer's.
// AddWeightGradient: as BackwardToWeights in kernels.hpp, of at least one image.
namespace winograd_3x3 {
void Convolve(const Convolution& shape, const float* x, const float* weights, bool to_bottom,
              const float* bias, float* y);
void AddWeightGradient(const Convolution& shape, const float* bottom, const float* top_diff,
                       float* weight_diff);
}  // namespace winograd_3x3

namespace winograd_7x7 {
void Convolve(const Convolution& shape, const float* x, const float* weights, bool to_bottom,
              const float* bias, float* y);
void AddWeightGradient(const Convolution& shape, const float* bottom, const float* top_diff,
                       float* weight_diff);
}  // namespace winograd_7x7

}  // namespace kernels
}  // namespace caffe

#endif  // CAFFE_KERNELS_WINOGRAD_HPP_
