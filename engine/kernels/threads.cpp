#include "threads.hpp"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <thread>

extern "C" int __attribute__((weak)) openblas_get_num_threads();  // absent in another BLAS

namespace caffe {
namespace kernels {

Buffer::~Buffer() { free(data_); }

float* Buffer::Get(size_t floats) {
  if (floats > size_) {
    const size_t alignment = size_t(1) << 21;  // of a huge page
    free(data_);
    data_ = nullptr;
    size_ = 0;
    void* data;
    if (posix_memalign(&data, alignment, floats * sizeof(float))) { throw std::bad_alloc(); }
    madvise(data, floats * sizeof(float), MADV_HUGEPAGE);  // 36 or 64 planes would exhaust the TLB
    data_ = static_cast<float*>(data);
    size_ = floats;
  }
  return data_;
}

static std::atomic<Workers*> current{nullptr};

Workers& Workers::Get() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { current = nullptr; });
  (void)registered;
  Workers* workers = current;
  if (!workers) {
    Workers* made = new Workers;
    // another thread may have been faster, and has stored its own in `workers`
    if (current.compare_exchange_strong(workers, made)) { return *made; }
    delete made;
  }
  return *workers;
}

int Workers::ThreadCount() {
  return openblas_get_num_threads ? openblas_get_num_threads()
                                  : std::max(1u, std::thread::hardware_concurrency());
}

void Workers::Prepare(int threads) {
  if (own_.size() < size_t(threads)) { own_ = std::vector<Buffer>(threads); }
  sigset_t all, before;  // signals are for the threads that the program knows
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (; started_ < threads; ++started_) {
    std::thread(&Workers::Serve, this, started_).detach();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// Waits a moment for `ready` without giving up the core: most steps follow at once.
template <typename Ready>
static void Spin(Ready ready) {
  for (int i = 0; i < 2000 && !ready(); ++i) {
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
  }
}

void Workers::Work(int thread) {
  for (int number; (number = next_++) < tasks_;) { (*task_)(number, thread); }
}

void Workers::Serve(int thread) {
  for (unsigned seen = 0;;) {
    const auto called = [&] { return call_ != seen; };
    Spin(called);
    std::unique_lock<std::mutex> lock(mutex_);
    begin_.wait(lock, called);
    seen = call_;
    if (thread >= invited_) { continue; }
    ++active_;
    lock.unlock();
    Work(thread);
    lock.lock();
    if (--active_ == 0) { end_.notify_one(); }
  }
}

void Workers::Run(int tasks, const std::function<void(int, int)>& task) {
  const int threads = std::min(ThreadCount(), tasks);
  if (threads <= 1) {
    for (int number = 0; number < tasks; ++number) { task(number, 0); }
    return;
  }
  Prepare(threads);
  std::unique_lock<std::mutex> lock(mutex_);
  task_ = &task;
  tasks_ = tasks;
  next_ = 0;
  invited_ = threads;
  ++call_;
  lock.unlock();
  begin_.notify_all();
  Work(0);
  // nobody waits for a thread that has not begun: where cores are busy, it would take long
  lock.lock();
  invited_ = 0;
  lock.unlock();
  const auto done = [&] { return active_ == 0; };
  Spin(done);
  lock.lock();
  end_.wait(lock, done);
}

}  // namespace kernels
}  // namespace caffe
