// The table of one set of instructions. The file that includes this has defined TABLE, the table's
// name, kName, kWidth (floats in a vector) and kRows (rows of a block of products).
namespace caffe {
namespace kernels {
namespace {

#include "vectors.hpp"
#include "transforms.hpp"
#include "products.hpp"
#include "elementwise.hpp"

}  // namespace

const Functions TABLE = {
    kName, kWidth, kRows, TransformInput, TransformGradient, TransformOutput, TransformWeights,
    TransformProducts, Multiply, Transpose, Pool, ReluForward, ReluBackward, Sum,
};

}  // namespace kernels
}  // namespace caffe
