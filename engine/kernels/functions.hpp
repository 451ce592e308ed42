// What the kernels need of a set of vector instructions: a table of functions. plain.cpp, avx2.cpp
// and avx512.cpp each make one from the same source (vectors.hpp, products.hpp, transforms_3x3.hpp,
// transforms_7x7.hpp, elementwise.hpp, solvers.hpp). Those functions call nothing of the standard
// library: what the linker shares between files must not hold instructions that the processor
// lacks.
#ifndef CAFFE_KERNELS_FUNCTIONS_HPP_
#define CAFFE_KERNELS_FUNCTIONS_HPP_

#include <cstddef>

#include "steps.hpp"

namespace caffe {
namespace kernels {

const int kMaxWidth = 16;  // floats in the widest vector

namespace winograd_3x3 {

const int kTile = 4;     // pixels along a side of an output tile
const int kPoints = 6;   // interpolation points along a side
const int kPlanes = kPoints * kPoints;

// A rectangle of 4x4 tiles, in tiles, and the plane that it is part of, in pixels. Tiles that reach
// over the right or the lower edge are read as 0 there and not written.
struct Tiles {
  int height, width;
  int row, column, rows, columns;
  int count() const { return rows * columns; }
};

struct Transforms {
  // Those of the 6x6 patches of the input, and of the 4x4 tiles of the output's gradient. Value p
  // of tile t goes to out[p * stride + t]; up to kMaxWidth floats behind the last tile are
  // overwritten. `scratch` has ScratchSize(tiles) floats.
  void (*input)(const Tiles& tiles, const float* plane, float* out, size_t stride, float* scratch);
  void (*gradient)(const Tiles& tiles, const float* plane, float* out, size_t stride,
                   float* scratch);
  // The tiles of the output from their values at the points, plus `bias`, into `plane`.
  void (*output)(const Tiles& tiles, const float* in, size_t stride, float bias, float* plane,
                 float* scratch);
  // `count` 3x3 kernels, `step` floats apart; value p of kernel j goes to out[p * stride + j], with
  // zeros up to a multiple of `width`. `rotated` turns each by 180 degrees.
  void (*weights)(const float* weights, size_t step, int count, bool rotated, float* out,
                  size_t stride);
  // Adds the gradients of `count` kernels to weights[9 * j].
  void (*products)(const float* in, size_t stride, int count, float* weights);
};

// Floats of scratch space that the transforms of `tiles` take.
inline size_t ScratchSize(const Tiles& tiles) {
  return 4 * kPoints * ((tiles.rows + 2) * size_t(tiles.columns) + 2 * kMaxWidth) +
         9 * size_t(tiles.columns + 2 + 8 * kMaxWidth);
}

}  // namespace winograd_3x3

namespace winograd_7x7 {

const int kTile = 2, kPoints = 8, kPlanes = kPoints * kPoints;  // as above

// Neighbouring planes, at most as many as a vector has elements. Their tiles are
// counted along the rows; those that reach over an edge are read as 0 there and not written.
struct Planes {
  int channels, height, width;
  int tiles() const { return (height + 1) / 2 * ((width + 1) / 2); }
};

struct Transforms {
  // Those of the 8x8 patches of the input, and of the 2x2 tiles of the output's gradient. Value p
  // of tile t of channel c goes to out[p * stride + t * pitch + c], with zeros behind the last
  // channel. `scratch` has ScratchSize(planes) floats.
  void (*input)(const Planes& planes, const float* in, float* out, size_t pitch, size_t stride,
                float* scratch);
  void (*gradient)(const Planes& planes, const float* in, float* out, size_t pitch, size_t stride,
                   float* scratch);
  // The output from its values at the points, plus the bias of each channel where there is one.
  void (*output)(const Planes& planes, const float* in, size_t pitch, size_t stride,
                 const float* bias, float* out, float* scratch);
  // 7x7 kernels, `rows` times `lanes` of them; value p of kernel (r, i), which begins at
  // weights[r * row_step + i * lane_step], goes to out[p * stride + r * pitch + i], with zeros
  // behind the last lane. `rotated` turns each by 180 degrees.
  void (*weights)(const float* weights, size_t lane_step, int lanes, size_t row_step, int rows,
                  bool rotated, float* out, size_t pitch, size_t stride);
  // Adds the gradients of `lanes` kernels to weights[49 * i]; value p of kernel i is in[p * stride
  // + i].
  void (*products)(const float* in, size_t stride, int lanes, float* weights);
};

inline size_t ScratchSize(const Planes& planes) {
  const size_t row = planes.width + 1 + 6;  // of the patches, which overlap by 6 pixels
  return kMaxWidth * (size_t(planes.height) * planes.width + kMaxWidth + kPoints * row);
}

}  // namespace winograd_7x7

struct Functions {
  const char* name;
  int width;  // floats in a vector
  int rows;   // `multiply` takes a multiple of this many rows
  winograd_3x3::Transforms of_3x3;
  winograd_7x7::Transforms of_7x7;
  // c (rows, columns) = a (rows, depth) b (depth, columns), added to c if `add`. All are row-major
  // with the given pitches in floats; columns are rounded up to a multiple of `width`, so the rows
  // of b and c must be that long.
  void (*multiply)(int rows, int columns, int depth, const float* a, size_t a_pitch, const float* b,
                   size_t b_pitch, float* c, size_t c_pitch, bool add);
  // `width` rows of `columns` floats become columns of `width`.
  void (*transpose)(int columns, const float* in, size_t in_pitch, float* out, size_t out_pitch);
  // The maxima of 2x2 pixels of a plane of even sides, and where in the plane they are.
  void (*pool)(int height, int width, const float* in, float* out, int* places);
  void (*relu_forward)(size_t count, float slope, const float* in, float* out);
  void (*relu_backward)(size_t count, float slope, const float* in, const float* out_diff,
                        float* in_diff);
  double (*sum)(size_t count, const float* in);
  void (*step_sgd)(size_t count, const SgdStep& step, float* data, float* diff, float* history);
  void (*step_adam)(size_t count, const AdamStep& step, float* data, float* diff, float* mean,
                    float* square);
};

extern const Functions plain;
#ifdef __x86_64__
extern const Functions avx2, avx512;
#endif

}  // namespace kernels
}  // namespace caffe

#endif  // CAFFE_KERNELS_FUNCTIONS_HPP_
