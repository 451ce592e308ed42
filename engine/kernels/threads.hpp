// The threads and the memory that the kernels compute with, one set per process.
#ifndef CAFFE_KERNELS_THREADS_HPP_
#define CAFFE_KERNELS_THREADS_HPP_

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

namespace caffe {
namespace kernels {

// Memory that is kept from use to use. Throws std::bad_alloc.
class Buffer {
 public:
  Buffer() {}
  Buffer(const Buffer&) = delete;
  ~Buffer();
  float* Get(size_t floats);  // the content is undefined

 private:
  float* data_ = nullptr;
  size_t size_ = 0;
};

class Workers {
 public:
  // Those of this process: a forked child, which has none of its parent's threads, gets its own.
  static Workers& Get();
  // As many threads as OpenBLAS takes at the moment; another BLAS: as many as there are cores.
  static int ThreadCount();
  // Calls task(number, thread) for every number below `tasks` and returns when all are done.
  // Threads take the numbers in no fixed order, so no task may depend on another.
  void Run(int tasks, const std::function<void(int task, int thread)>& task);

  std::mutex in_use;  // of Run and the buffers
  Buffer shared[3];
  // A buffer for each thread that Run may use now.
  Buffer& own(int thread) { return own_[thread]; }

 private:
  Workers() {}
  void Prepare(int threads);
  void Serve(int thread);
  void Work(int thread);

  std::vector<Buffer> own_{1};
  int started_ = 1;
  const std::function<void(int, int)>* task_ = nullptr;
  int tasks_ = 0;
  std::atomic<int> next_{0};  // task
  // Guarded by mutex_; the atomic ones may also be read without.
  std::mutex mutex_;
  std::condition_variable begin_, end_;
  std::atomic<unsigned> call_{0};  // the number of this call of Run
  std::atomic<int> active_{0};     // threads that work at it beside the caller
  int invited_ = 0;                // threads below this number may join it; 0 when it is over
};

}  // namespace kernels
}  // namespace caffe

#endif  // CAFFE_KERNELS_THREADS_HPP_
