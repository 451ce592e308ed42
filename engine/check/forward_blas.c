// Gives Caffe's wheel another OpenBLAS, so that two builds can be compared with the same one:
//
//   gcc -shared -fPIC -DLIBRARY='"/path/libopenblas.so.0"' engine/check/forward_blas.c -o forward.so
//   LD_PRELOAD=./forward.so "$(tools/caffe-env --path)/bin/python" \
//     engine/check/compare_builds.py --record new.npz
//
// The wheel calls scipy_cblas_NAME; each jumps to cblas_NAME of LIBRARY. x86-64 only.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#define NAMES(F) \
  F(saxpby) F(saxpy) F(scopy) F(sasum) F(sdot) F(sgemm) F(sgemv) F(sscal) \
  F(daxpby) F(daxpy) F(dcopy) F(dasum) F(ddot) F(dgemm) F(dgemv) F(dscal)

#define JUMP(name) \
  void *to_##name; \
  __asm__(".pushsection .text\n.globl scipy_cblas_" #name "\n" \
          ".type scipy_cblas_" #name ", @function\n" \
          "scipy_cblas_" #name ": mov to_" #name "@GOTPCREL(%rip), %rax\n" \
          "jmp *(%rax)\n.popsection\n");
NAMES(JUMP)

__attribute__((constructor)) static void find(void) {
  void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
#define FIND(name) to_##name = dlsym(library, "cblas_" #name);
  NAMES(FIND)
}
