// Convolutions of 3x3 and 7x7 by Winograd's method, maxima of 2x2, the rectifier, and steps of the
// solvers, for Caffe in float32 on the CPU. Results do not depend on the number of threads, to the
// last bit.
//
// CAFFE_STOCK_CPU=1 gives stock Caffe's arithmetic; CAFFE_CPU_KERNELS=plain, AVX2 or AVX-512
// another set of instructions than the best that the processor has. Both are read at every call.
#ifndef CAFFE_KERNELS_KERNELS_HPP_
#define CAFFE_KERNELS_KERNELS_HPP_

#include <cstddef>

#include "steps.hpp"

namespace caffe {
namespace kernels {

// The instructions in use: "plain", "AVX2" or "AVX-512"; "stock" where CAFFE_STOCK_CPU is 1.
const char* Name();
bool IsStock();

// A convolution with kernels of `side` x `side`, 3 or 7, stride 1, and padding that keeps the size
// of the plane. All arrays are in Caffe's order: (images, channels, height, width), weights
// (outputs, inputs, side, side).
struct Convolution {
  int side, images, inputs, outputs, height, width;
};

// Whether there are kernels for it. Narrow layers are left to stock Caffe, as the transforms would
// cost more than they save, and large planes with 7x7, as those would fill the memory.
bool HasConvolution(const Convolution& shape);

void Forward(const Convolution& shape, const float* bottom, const float* weights, const float* bias,
             float* top);  // bias may be null
void BackwardToBottom(const Convolution& shape, const float* top_diff, const float* weights,
                      float* bottom_diff);
// These two add to what is there.
void BackwardToWeights(const Convolution& shape, const float* bottom, const float* top_diff,
                       float* weight_diff);
void BackwardToBias(const Convolution& shape, const float* top_diff, float* bias_diff);

// Maxima over 2x2 pixels, of planes with even sides, and the place of each in its plane.
void MaxPool(int planes, int height, int width, const float* bottom, float* top, int* places);

// In place or not.
void ReluForward(size_t count, float slope, const float* bottom, float* top);
void ReluBackward(size_t count, float slope, const float* bottom, const float* top_diff,
                  float* bottom_diff);

// A step of a solver on the `count` numbers of a blob, with stock's roundings:
//
//   gradient = scale * diff + decay * data
//   history  = momentum * history + rate * gradient                               (SGD), or
//   mean     = momentum * mean + (1 - momentum) * gradient                        (Adam)
//   square   = momentum2 * square + (1 - momentum2) * gradient * gradient
//   diff     = history, or rate * mean / (sqrt(square) + delta)
//   data     = data - diff
void StepSgd(size_t count, const SgdStep& step, float* data, float* diff, float* history);
void StepAdam(size_t count, const AdamStep& step, float* data, float* diff, float* mean,
              float* square);

}  // namespace kernels
}  // namespace caffe

#endif  // CAFFE_KERNELS_KERNELS_HPP_
