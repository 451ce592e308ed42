// Which set of instructions is used.
#include "dispatch.hpp"

#include <glog/logging.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "kernels.hpp"

namespace caffe {
namespace kernels {

// The sets that this processor has, the best one last.
static std::vector<const Functions*> Supported() {
  std::vector<const Functions*> sets = {&plain};
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    sets.push_back(&avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq")) {
      sets.push_back(&avx512);
    }
  }
#endif
  return sets;
}

const Functions& Chosen() {
  static const std::vector<const Functions*> sets = Supported();
  const char* variable = getenv("CAFFE_CPU_KERNELS");
  const std::string name = variable ? variable : "";
  if (name.empty()) { return *sets.back(); }
  std::string names;
  for (const Functions* set : sets) {
    if (name == set->name) { return *set; }
    names += std::string(" ") + set->name;
  }
  LOG(FATAL) << "CAFFE_CPU_KERNELS is '" << name << "', this processor has:" << names;
  return plain;
}

bool IsStock() {
  const char* variable = getenv("CAFFE_STOCK_CPU");
  const std::string value = variable ? variable : "";
  CHECK(value == "" || value == "0" || value == "1")
      << "CAFFE_STOCK_CPU is '" << value << "', expected 0 or 1 (stock Caffe's arithmetic)";
  return value == "1";
}

const char* Name() { return IsStock() ? "stock" : Chosen().name; }

}  // namespace kernels
}  // namespace caffe
