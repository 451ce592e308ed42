// The table of one set of instructions. The file that includes this has defined TABLE, the table's
// name, kName, kWidth (floats in a vector), kRows (rows of a block of products) and kFused (whether
// there is an instruction for a * b + c with one rounding).
namespace caffe {
namespace kernels {
namespace {

#include "vectors.hpp"
#include "products.hpp"
#include "elementwise.hpp"
#include "solvers.hpp"

}  // namespace

namespace winograd_3x3 {
namespace {
#include "transforms_3x3.hpp"
}  // namespace
}  // namespace winograd_3x3

namespace winograd_7x7 {
namespace {
#include "transforms_7x7.hpp"
}  // namespace
}  // namespace winograd_7x7

const Functions TABLE = {
    kName, kWidth, kRows,
    {winograd_3x3::TransformInput, winograd_3x3::TransformGradient, winograd_3x3::TransformOutput,
     winograd_3x3::TransformWeights, winograd_3x3::TransformProducts},
    {winograd_7x7::TransformInput, winograd_7x7::TransformGradient, winograd_7x7::TransformOutput,
     winograd_7x7::TransformWeights, winograd_7x7::TransformProducts},
    Multiply, Transpose, Pool, ReluForward, ReluBackward, Sum, StepSgd, StepAdam,
};

}  // namespace kernels
}  // namespace caffe
