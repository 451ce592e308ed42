// The passes of a convolution, by the implementation for its kernels: 3x3 or 7x7.
#include <algorithm>
#include <mutex>

#include "dispatch.hpp"
#include "threads.hpp"
#include "winograd.hpp"

namespace caffe {
namespace kernels {
namespace {

void Convolve(const Convolution& shape, const float* x, const float* weights, bool to_bottom,
              const float* bias, float* y) {
  const auto convolve = shape.side == 7 ? winograd_7x7::Convolve : winograd_3x3::Convolve;
  convolve(shape, x, weights, to_bottom, bias, y);
}

}  // namespace

bool HasConvolution(const Convolution& shape) {
  const int fewest_channels = 8, most_pixels = 32 * 32;
  const size_t pixels = size_t(shape.height) * shape.width;
  if (pixels == 0 || std::min(shape.inputs, shape.outputs) < fewest_channels) { return false; }
  return shape.side == 3 || (shape.side == 7 && pixels <= most_pixels);
}

void Forward(const Convolution& shape, const float* bottom, const float* weights, const float* bias,
             float* top) {
  Convolve(shape, bottom, weights, false, bias, top);
}

void BackwardToBottom(const Convolution& shape, const float* top_diff, const float* weights,
                      float* bottom_diff) {
  Convolution back = shape;
  back.inputs = shape.outputs;
  back.outputs = shape.inputs;
  Convolve(back, top_diff, weights, true, nullptr, bottom_diff);
}

void BackwardToWeights(const Convolution& shape, const float* bottom, const float* top_diff,
                       float* weight_diff) {
  if (shape.images == 0) { return; }
  const auto add = shape.side == 7 ? winograd_7x7::AddWeightGradient
                                   : winograd_3x3::AddWeightGradient;
  add(shape, bottom, top_diff, weight_diff);
}

void BackwardToBias(const Convolution& shape, const float* top_diff, float* bias_diff) {
  const Functions& set = Chosen();
  Workers& workers = Workers::Get();
  std::lock_guard<std::mutex> lock(workers.in_use);
  const size_t size = size_t(shape.height) * shape.width;
  workers.Run(shape.outputs, [&](int k, int) {
    double sum = bias_diff[k];
    for (int n = 0; n < shape.images; ++n) {
      sum += set.sum(size, top_diff + (size_t(n) * shape.outputs + k) * size);
    }
    bias_diff[k] = sum;
  });
}

}  // namespace kernels
}  // namespace caffe
