// Convolutions of 3x3 in blocks of tiles, over the threads. For each of the 36 points p
//
//   forward:     M[p] (outputs, tiles)  = U[p] (outputs, inputs) V[p] (inputs, tiles)
//   to bottom:   the same with inputs and outputs exchanged and the kernels rotated
//   to weights:  D[p] (outputs, inputs) = W[p] (outputs, tiles) V[p]' (tiles, inputs)
//
// U are the transformed weights, V the input, W the output's gradient; see transforms_3x3.hpp. An
// element of M is a sum in the order of the channels, the same however tiles are cut into blocks. D
// is a sum over blocks, whose size therefore depends on the shape alone.
#include <algorithm>
#include <mutex>

#include "dispatch.hpp"
#include "threads.hpp"
#include "winograd.hpp"

namespace caffe {
namespace kernels {
namespace winograd_3x3 {
namespace {

// All tiles of a batch, cut into blocks of about `target`: rectangles of a plane, or several whole
// planes where those are small.
class Blocks {
 public:
  Blocks(const Convolution& shape, int target) : shape_(shape) {
    const int down = (shape.height + kTile - 1) / kTile, across = (shape.width + kTile - 1) / kTile;
    images_ = std::max(1, std::min(shape.images, target / (down * across)));
    // wide rather than high: along a row memory is read in one run
    columns_ = std::min(across, std::max(target / down, std::min(target, kWidest)));
    rows_ = std::min(down, std::max(1, target / columns_));
    across_ = (across + columns_ - 1) / columns_;
    down_ = (down + rows_ - 1) / rows_;
  }
  int count() const { return (shape_.images + images_ - 1) / images_ * down_ * across_; }
  int most_tiles() const { return images_ * rows_ * columns_; }
  int first_image(int block) const { return block / (down_ * across_) * images_; }
  int images(int block) const { return std::min(images_, shape_.images - first_image(block)); }
  Tiles tiles(int block) const {
    Tiles tiles = {shape_.height, shape_.width, block / across_ % down_ * rows_,
                   block % across_ * columns_, 0, 0};
    tiles.rows = std::min(rows_, (shape_.height + kTile - 1) / kTile - tiles.row);
    tiles.columns = std::min(columns_, (shape_.width + kTile - 1) / kTile - tiles.column);
    return tiles;
  }
  size_t scratch_size() const { return ScratchSize({0, 0, 0, 0, rows_, columns_}); }

 private:
  static constexpr int kWidest = 32;
  Convolution shape_;
  int images_, rows_, columns_, down_, across_;
};

// The same plane of all images of a block, from or to `tiles` one after the other.
template <typename Do>
void ForPlanes(const Convolution& shape, const Blocks& blocks, int block, int channels, int channel,
               const Do& action) {
  const Tiles tiles = blocks.tiles(block);
  const size_t size = size_t(shape.height) * shape.width;
  for (int i = 0; i < blocks.images(block); ++i) {
    const size_t plane = size_t(blocks.first_image(block) + i) * channels + channel;
    action(tiles, plane * size, size_t(i) * tiles.count());
  }
}

// y = convolution of x with the transformed weights, `shape` being that from x to y.
class Products {
 public:
  Products(const Convolution& shape, const Functions& set, const float* x, const float* u,
           size_t u_pitch, const float* bias, float* y)
      : shape_(shape), set_(set), blocks_(shape, shape.inputs + shape.outputs <= 256 ? 64 : 128),
        x_(x), u_(u), u_pitch_(u_pitch), bias_(bias), y_(y),
        rows_(RoundUp(shape.outputs, set.rows)), pitch_(Pitch(blocks_.most_tiles())),
        v_stride_(Stride(shape.inputs, pitch_)), m_stride_(Stride(rows_, pitch_)) {}

  // A block for each thread at a time; where there are too few, each on all threads.
  void Run(Workers* workers) {
    const size_t size = kPlanes * (v_stride_ + m_stride_), scratch = blocks_.scratch_size();
    const int threads = Workers::ThreadCount();
    if (blocks_.count() >= 2 * threads || threads == 1) {
      workers->Run(blocks_.count(), [&](int block, int thread) {
        float* v = workers->own(thread).Get(size + scratch);
        for (int c = 0; c < shape_.inputs; ++c) { TransformInput(block, c, v, v + size); }
        for (int p = 0; p < kPlanes; ++p) { Multiply(block, p, v); }
        for (int k = 0; k < shape_.outputs; ++k) { TransformOutput(block, k, v, v + size); }
      });
      return;
    }
    float* v = workers->shared[0].Get(size);
    for (int block = 0; block < blocks_.count(); ++block) {
      workers->Run(shape_.inputs, [&](int c, int thread) {
        TransformInput(block, c, v, workers->own(thread).Get(scratch));
      });
      workers->Run(kPlanes, [&](int p, int) { Multiply(block, p, v); });
      workers->Run(shape_.outputs, [&](int k, int thread) {
        TransformOutput(block, k, v, workers->own(thread).Get(scratch));
      });
    }
  }

 private:
  void TransformInput(int block, int channel, float* v, float* scratch) const {
    ForPlanes(shape_, blocks_, block, shape_.inputs, channel,
              [&](const Tiles& tiles, size_t plane, size_t first) {
      set_.of_3x3.input(tiles, x_ + plane, v + channel * pitch_ + first, v_stride_, scratch);
    });
  }
  void Multiply(int block, int point, float* v) const {
    float* m = v + kPlanes * v_stride_ + point * m_stride_;
    const int tiles = blocks_.images(block) * blocks_.tiles(block).count();
    set_.multiply(rows_, tiles, shape_.inputs, u_ + point * Stride(rows_, u_pitch_), u_pitch_,
                  v + point * v_stride_, pitch_, m, pitch_, false);
  }
  void TransformOutput(int block, int channel, const float* v, float* scratch) const {
    const float* m = v + kPlanes * v_stride_ + channel * pitch_;
    ForPlanes(shape_, blocks_, block, shape_.outputs, channel,
              [&](const Tiles& tiles, size_t plane, size_t first) {
      set_.of_3x3.output(tiles, m + first, m_stride_, bias_ ? bias_[channel] : 0.f, y_ + plane,
                         scratch);
    });
  }

  const Convolution shape_;
  const Functions& set_;
  const Blocks blocks_;
  const float *x_, *u_;
  const size_t u_pitch_;
  const float* bias_;
  float* y_;
  const size_t rows_, pitch_, v_stride_, m_stride_;
};

}  // namespace

void Convolve(const Convolution& shape, const float* x, const float* weights, bool to_bottom,
              const float* bias, float* y) {
  const Functions& set = Chosen();
  Workers& workers = Workers::Get();
  std::lock_guard<std::mutex> lock(workers.in_use);
  const size_t pitch = Pitch(shape.inputs);
  const size_t stride = Stride(RoundUp(shape.outputs, set.rows), pitch);
  float* u = workers.shared[1].Get(kPlanes * stride);
  workers.Run(shape.outputs, [&](int k, int) {
    const float* first = weights + 9 * size_t(k) * (to_bottom ? 1 : shape.inputs);
    set.of_3x3.weights(first, 9 * size_t(to_bottom ? shape.outputs : 1), shape.inputs, to_bottom,
                       u + k * pitch, stride);
  });
  Products(shape, set, x, u, pitch, bias, y).Run(&workers);
}

void AddWeightGradient(const Convolution& shape, const float* bottom, const float* top_diff,
                       float* weight_diff) {
  const Functions& set = Chosen();
  Workers& workers = Workers::Get();
  std::lock_guard<std::mutex> lock(workers.in_use);
  const int memory = 8 << 20;  // of the transformed inputs and gradients, near the cores
  const int channels = shape.inputs + shape.outputs;
  const Blocks blocks(shape, std::max(64, std::min(512, memory / (4 * kPlanes * channels))));
  const size_t rows = RoundUp(shape.outputs, set.rows), columns = RoundUp(shape.inputs, set.width);
  const size_t w_pitch = Pitch(blocks.most_tiles()), v_pitch = Pitch(columns);
  const size_t w_stride = Stride(rows, w_pitch), v_stride = Stride(blocks.most_tiles(), v_pitch);
  const size_t d_pitch = Pitch(columns), d_stride = Stride(rows, d_pitch);
  const size_t part_stride = Stride(set.width, w_pitch), part_size = kPlanes * part_stride;
  float* w = workers.shared[0].Get(kPlanes * (w_stride + v_stride));
  float *v = w + kPlanes * w_stride, *d = workers.shared[1].Get(kPlanes * d_stride);
  const int groups = columns / set.width;
  for (int block = 0; block < blocks.count(); ++block) {
    const int tiles = blocks.images(block) * blocks.tiles(block).count();
    workers.Run(groups + shape.outputs, [&](int task, int thread) {
      float* part = workers.own(thread).Get(part_size + blocks.scratch_size());
      if (task >= groups) {
        const int k = task - groups;
        ForPlanes(shape, blocks, block, shape.outputs, k,
                  [&](const Tiles& tiles, size_t plane, size_t first) {
          set.of_3x3.gradient(tiles, top_diff + plane, w + k * w_pitch + first, w_stride,
                              part + part_size);
        });
        return;
      }
      const int begin = task * set.width, end = std::min(begin + set.width, shape.inputs);
      for (int c = begin; c < end; ++c) {
        ForPlanes(shape, blocks, block, shape.inputs, c,
                  [&](const Tiles& tiles, size_t plane, size_t first) {
          set.of_3x3.input(tiles, bottom + plane, part + (c - begin) * w_pitch + first,
                           part_stride, part + part_size);
        });
      }
      for (int p = 0; p < kPlanes; ++p) {
        set.transpose(tiles, part + p * part_stride, w_pitch, v + p * v_stride + begin, v_pitch);
      }
    });
    workers.Run(kPlanes, [&](int p, int) {
      set.multiply(rows, columns, tiles, w + p * w_stride, w_pitch, v + p * v_stride, v_pitch,
                   d + p * d_stride, d_pitch, block > 0);
    });
  }
  workers.Run(shape.outputs, [&](int k, int) {
    set.of_3x3.products(d + k * d_pitch, d_stride, shape.inputs,
                        weight_diff + 9 * size_t(k) * shape.inputs);
  });
}

}  // namespace winograd_3x3
}  // namespace kernels
}  // namespace caffe
