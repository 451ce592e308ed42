// Steps of the solvers, each in one pass over memory; stock Caffe takes about twelve. They round as
// the functions of BLAS that stock calls: scal rounds a product, axpy adds it unrounded where the
// processor can. The compiler makes vectors of these loops.

inline float MultiplyAdd(float a, float b, float c) {
  return kFused ? __builtin_fmaf(a, b, c) : a * b + c;
}

// The gradient's mean over the passes of a step, plus the weight decay.
template <typename Step>
inline float Gradient(const Step& step, float data, float diff) {
  const float mean = step.scale * diff;
  return step.decay ? MultiplyAdd(step.decay, data, mean) : mean;
}

void StepSgd(size_t count, const SgdStep& given, float* __restrict data, float* __restrict diff,
             float* __restrict history) {
  const SgdStep step = given;
  for (size_t i = 0; i < count; ++i) {
    const float gradient = Gradient(step, data[i], diff[i]), old = step.momentum * history[i];
    const float update = step.rate ? MultiplyAdd(step.rate, gradient, old) : old;
    history[i] = diff[i] = update;
    data[i] -= update;
  }
}

void StepAdam(size_t count, const AdamStep& given, float* __restrict data, float* __restrict diff,
              float* __restrict mean, float* __restrict square) {
  const AdamStep step = given;
  for (size_t i = 0; i < count; ++i) {
    const float gradient = Gradient(step, data[i], diff[i]);
    mean[i] = MultiplyAdd(1 - step.momentum, gradient, step.momentum * mean[i]);
    square[i] = MultiplyAdd(1 - step.momentum2, gradient * gradient, step.momentum2 * square[i]);
    diff[i] = mean[i] / (__builtin_sqrtf(square[i]) + step.delta) * step.rate;
    data[i] -= diff[i];
  }
}
