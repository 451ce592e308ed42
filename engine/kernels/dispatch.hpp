#ifndef CAFFE_KERNELS_DISPATCH_HPP_
#define CAFFE_KERNELS_DISPATCH_HPP_

#include "functions.hpp"

namespace caffe {
namespace kernels {

// The best functions for this processor, or those that CAFFE_CPU_KERNELS names. Ends the program
// where it names others than the processor has.
const Functions& Chosen();

}  // namespace kernels
}  // namespace caffe

#endif  // CAFFE_KERNELS_DISPATCH_HPP_
