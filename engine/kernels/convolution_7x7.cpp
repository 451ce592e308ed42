// Convolutions of 7x7, as fc6 is: many channels, few pixels, and weights that fill the memory. For
// each of the 64 points p
//
//   forward:     M[p] (tiles, outputs)  = V[p] (tiles, inputs) U[p] (inputs, outputs)
//   to bottom:   the same with inputs and outputs exchanged and the kernels rotated
//   to weights:  D[p] (outputs, inputs) = W[p]' (outputs, tiles) V[p] (tiles, inputs)
//
// V is the transformed input, W the output's gradient; see transforms_7x7.hpp. The transformed
// weights U are not kept: a thread makes the part that it multiplies next, which stays in its
// cache. So a few images read each weight once, and write each weight's gradient once. The order of
// every sum depends on the shape alone. Rows of tiles and outputs are rounded up for `multiply`;
// what is computed of the undefined ones is never read.
#include <algorithm>
#include <mutex>

#include "dispatch.hpp"
#include "threads.hpp"
#include "winograd.hpp"

namespace caffe {
namespace kernels {
namespace winograd_7x7 {
namespace {

const int kWeights = 49;     // of a kernel
const int kStep = 32;        // inputs whose weights are transformed at a time
const int kVectors = 3;      // of outputs, likewise: as wide as a block of `multiply`
const int kMostTiles = 256;  // at a time, those of 4 images of 16x16: fc6 then takes 0.33 GB
static_assert(kStep % kMaxWidth == 0, "vectors of inputs must not reach over a step");

// Channels in parts of at most kVectors vectors; four parts or a multiple of it, for the threads.
class Parts {
 public:
  Parts(int channels, int width)
      : channels_(channels), width_(width), vectors_((channels + width - 1) / width),
        count_(std::min<int>(vectors_, RoundUp((vectors_ + kVectors - 1) / kVectors, 4))) {}
  int count() const { return count_; }
  int begin(int part) const { return part * vectors_ / count_ * width_; }
  int end(int part) const { return std::min(begin(part + 1), channels_); }

 private:
  int channels_, width_, vectors_, count_;
};

// A few whole images of a batch, whose tiles are transformed at the same time.
struct Images {
  Images(const Convolution& shape, int first) : first(first), shape_(shape) {
    const int most = std::max(1, kMostTiles / tiles_of_one());
    count = std::min(most, shape.images - first);
  }
  int tiles_of_one() const { return planes(1).tiles(); }
  int tiles() const { return count * tiles_of_one(); }
  Planes planes(int channels) const { return {channels, shape_.height, shape_.width}; }
  // Calls action(floats before this channel of the image in the batch, tiles before the image's
  // in these) for each image.
  template <typename Do>
  void ForEach(int channels, int channel, const Do& action) const {
    for (int i = 0; i < count; ++i) {
      const size_t plane = size_t(first + i) * channels + channel;
      action(plane * shape_.height * shape_.width, size_t(i) * tiles_of_one());
    }
  }

  int first, count;

 private:
  const Convolution& shape_;
};

}  // namespace

void Convolve(const Convolution& shape, const float* x, const float* weights, bool to_bottom,
              const float* bias, float* y) {
  const Functions& set = Chosen();
  Workers& workers = Workers::Get();
  std::lock_guard<std::mutex> lock(workers.in_use);
  const Parts parts(shape.outputs, set.width);
  // from a kernel to that of the next input and of the next output of this pass
  const size_t input_step = kWeights * size_t(to_bottom ? shape.outputs : 1);
  const size_t output_step = kWeights * size_t(to_bottom ? 1 : shape.inputs);
  for (int first = 0; first < shape.images;) {
    const Images images(shape, first);
    const int rows = RoundUp(images.tiles(), set.rows);
    const size_t scratch = ScratchSize(images.planes(set.width));
    const size_t pitch = kVectors * set.width;
    const size_t v_stride = Stride(rows, kStep), v_size = kPlanes * v_stride;  // of kStep inputs
    const size_t u_stride = Stride(kStep, pitch), m_stride = Stride(rows, pitch);
    float* v = workers.shared[0].Get((shape.inputs + kStep - 1) / kStep * v_size);
    workers.Run((shape.inputs + set.width - 1) / set.width, [&](int vector, int thread) {
      const int c = vector * set.width;
      const Planes planes = images.planes(std::min(set.width, shape.inputs - c));
      float* out = v + c / kStep * v_size + c % kStep;
      images.ForEach(shape.inputs, c, [&](size_t from, size_t tile) {
        set.of_7x7.input(planes, x + from, out + tile * kStep, kStep, v_stride,
                         workers.own(thread).Get(scratch));
      });
    });
    workers.Run(parts.count(), [&](int part, int thread) {
      const int begin = parts.begin(part), end = parts.end(part);
      float* u = workers.own(thread).Get(kPlanes * (u_stride + m_stride) + scratch);
      float *m = u + kPlanes * u_stride, *rest = m + kPlanes * m_stride;
      for (int c = 0; c < shape.inputs; c += kStep) {
        const int depth = std::min(kStep, shape.inputs - c);
        for (int k = begin; k < end; k += set.width) {
          set.of_7x7.weights(weights + c * input_step + k * output_step, output_step,
                             std::min(set.width, end - k), input_step, depth, to_bottom,
                             u + (k - begin), pitch, u_stride);
        }
        for (int p = 0; p < kPlanes; ++p) {
          set.multiply(rows, end - begin, depth, v + c / kStep * v_size + p * v_stride, kStep,
                       u + p * u_stride, pitch, m + p * m_stride, pitch, c > 0);
        }
      }
      for (int k = begin; k < end; k += set.width) {
        const Planes planes = images.planes(std::min(set.width, end - k));
        images.ForEach(shape.outputs, k, [&](size_t to, size_t tile) {
          set.of_7x7.output(planes, m + tile * pitch + (k - begin), pitch, m_stride,
                            bias ? bias + k : nullptr, y + to, rest);
        });
      }
    });
    first += images.count;
  }
}

void AddWeightGradient(const Convolution& shape, const float* bottom, const float* top_diff,
                       float* weight_diff) {
  const Functions& set = Chosen();
  Workers& workers = Workers::Get();
  std::lock_guard<std::mutex> lock(workers.in_use);
  const Parts parts(shape.inputs, set.width);
  const int band = 4 * set.width;  // outputs whose products are made at a time
  const int bands = (shape.outputs + band - 1) / band;
  for (int first = 0; first < shape.images;) {
    const Images images(shape, first);
    const int all = RoundUp(images.tiles(), set.width);
    const size_t scratch = ScratchSize(images.planes(set.width));
    const size_t pitch = kVectors * set.width, w_pitch = Pitch(all);
    const size_t v_stride = Stride(images.tiles(), pitch), v_size = kPlanes * v_stride;
    const size_t w_stride = Stride(band, w_pitch), w_size = kPlanes * w_stride;
    const size_t g_stride = Stride(all, set.width), d_stride = Stride(band, pitch);
    float* w = workers.shared[0].Get(bands * w_size);
    float* v = workers.shared[1].Get(parts.count() * v_size);
    workers.Run(parts.count(), [&](int part, int thread) {
      for (int c = parts.begin(part); c < parts.end(part); c += set.width) {
        const Planes planes = images.planes(std::min(set.width, parts.end(part) - c));
        float* out = v + part * v_size + (c - parts.begin(part));
        images.ForEach(shape.inputs, c, [&](size_t from, size_t tile) {
          set.of_7x7.input(planes, bottom + from, out + tile * pitch, pitch, v_stride,
                           workers.own(thread).Get(scratch));
        });
      }
    });
    workers.Run(bands, [&](int number, int thread) {
      float* out = w + number * w_size;
      float* g = workers.own(thread).Get(kPlanes * g_stride + scratch);
      for (int row = 0; row < band && number * band + row < shape.outputs; row += set.width) {
        const int k = number * band + row;
        const Planes planes = images.planes(std::min(set.width, shape.outputs - k));
        images.ForEach(shape.outputs, k, [&](size_t from, size_t tile) {
          set.of_7x7.gradient(planes, top_diff + from, g + tile * set.width, set.width, g_stride,
                              g + kPlanes * g_stride);
        });
        for (int p = 0; p < kPlanes; ++p) {
          for (int t = 0; t < all; t += set.width) {
            set.transpose(set.width, g + p * g_stride + t * set.width, set.width,
                          out + p * w_stride + row * w_pitch + t, w_pitch);
          }
        }
      }
    });
    workers.Run(bands, [&](int number, int thread) {
      const int begin = number * band, end = std::min(begin + band, shape.outputs);
      float* d = workers.own(thread).Get(kPlanes * d_stride);
      for (int part = 0; part < parts.count(); ++part) {
        const int columns = parts.end(part) - parts.begin(part);
        for (int p = 0; p < kPlanes; ++p) {
          set.multiply(RoundUp(end - begin, set.rows), columns, images.tiles(),
                       w + number * w_size + p * w_stride, w_pitch,
                       v + part * v_size + p * v_stride, pitch, d + p * d_stride, pitch, false);
        }
        for (int k = begin; k < end; ++k) {
          for (int c = 0; c < columns; c += set.width) {
            const size_t kernel = size_t(k) * shape.inputs + parts.begin(part) + c;
            set.of_7x7.products(d + (k - begin) * pitch + c, d_stride,
                                std::min(set.width, columns - c), weight_diff + kWeights * kernel);
          }
        }
      }
    });
    first += images.count;
  }
}

}  // namespace winograd_7x7
}  // namespace kernels
}  // namespace caffe
