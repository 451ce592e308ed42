// Pooling, the rectifier and the solvers' steps over the threads.
#include <algorithm>
#include <mutex>

#include "dispatch.hpp"
#include "kernels.hpp"
#include "threads.hpp"

namespace caffe {
namespace kernels {

void MaxPool(int planes, int height, int width, const float* bottom, float* top, int* places) {
  const Functions& set = Chosen();
  Workers& workers = Workers::Get();
  std::lock_guard<std::mutex> lock(workers.in_use);
  const size_t size = size_t(height) * width;
  workers.Run(planes, [&](int plane, int) {
    set.pool(height, width, bottom + plane * size, top + plane * (size / 4),
             places + plane * (size / 4));
  });
}

// Calls part(begin, count) for all of `count`, over the threads.
template <typename Part>
static void InParts(size_t count, const Part& part) {
  const size_t size = 1 << 16;
  Workers& workers = Workers::Get();
  std::lock_guard<std::mutex> lock(workers.in_use);
  workers.Run((count + size - 1) / size, [&](int number, int) {
    part(number * size, std::min(size, count - number * size));
  });
}

void ReluForward(size_t count, float slope, const float* bottom, float* top) {
  const Functions& set = Chosen();
  InParts(count, [&](size_t begin, size_t part) {
    set.relu_forward(part, slope, bottom + begin, top + begin);
  });
}

void ReluBackward(size_t count, float slope, const float* bottom, const float* top_diff,
                  float* bottom_diff) {
  const Functions& set = Chosen();
  InParts(count, [&](size_t begin, size_t part) {
    set.relu_backward(part, slope, bottom + begin, top_diff + begin, bottom_diff + begin);
  });
}

void StepSgd(size_t count, const SgdStep& step, float* data, float* diff, float* history) {
  const Functions& set = Chosen();
  InParts(count, [&](size_t begin, size_t part) {
    set.step_sgd(part, step, data + begin, diff + begin, history + begin);
  });
}

void StepAdam(size_t count, const AdamStep& step, float* data, float* diff, float* mean,
              float* square) {
  const Functions& set = Chosen();
  InParts(count, [&](size_t begin, size_t part) {
    set.step_adam(part, step, data + begin, diff + begin, mean + begin, square + begin);
  });
}

}  // namespace kernels
}  // namespace caffe
