// The table of one set of instructions. The file that includes this has defined TABLE, the table's
// name, kName, kWidth (floats in a vector), kRows (rows of a block of products) and kFused (whether
// there is an instruction for a * b + c with one rounding).
namespace caffe {
namespace kernels {
namespace {

#include "vectors.hpp"
#include "transforms.hpp"
#include "products.hpp"
#include "elementwise.hpp"
#include "solvers.hpp"

}  // namespace

const Functions TABLE = {
    kName, kWidth, kRows, TransformInput, TransformGradient, TransformOutput, TransformWeights,
    TransformProducts, Multiply, Transpose, Pool, ReluForward, ReluBackward, Sum,
    StepSgd, StepAdam,
};

}  // namespace kernels
}  // namespace caffe
