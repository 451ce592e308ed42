// The factors of a solver's step on one blob; see kernels.hpp.
#ifndef CAFFE_KERNELS_STEPS_HPP_
#define CAFFE_KERNELS_STEPS_HPP_

namespace caffe {
namespace kernels {

struct SgdStep {
  float scale;  // 1 / iter_size
  float decay, rate, momentum;
};

struct AdamStep {
  float scale, decay;
  float rate;  // with the correction of the bias
  float momentum, momentum2, delta;
};

}  // namespace kernels
}  // namespace caffe

#endif  // CAFFE_KERNELS_STEPS_HPP_
