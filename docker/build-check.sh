#!/bin/bash
# Build the images of the Dockerfile for real, and check what they hold.
#
#   docker/build-check.sh [--tests] [TARGET …]     TARGET: cpu, cuda; default both
#
# --tests also runs Caffe's own C++ tests, in each image, as far as they need neither a GPU nor the
# files of Caffe's source tree (minutes).
#
# Works with docker, podman or buildah, see docker/engine.sh; docker and podman keep the images as
# objseg-check:TARGET, buildah's are deleted at the end.

set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=docker/engine.sh
source docker/engine.sh

readonly CUOBJDUMP=nvidia-cuda-cuobjdump==13.2.51
readonly PROJECT_TESTS=(tests/test_{python_layers,nets,geometry,metrics,expressions}.py)
# of Caffe's C++ tests: those that the patches bring, those that want a GPU or (TestBrewMode) leave
# the mode at GPU for the next one, and those that read files of Caffe's source tree
readonly PATCH_TESTS='CuDNNChoice*:CuDNNWorkspace*:TF32*:ErrorAdvice*'
readonly GPU_TESTS='*GPU*:*CuDNN*:*/2.*:*/3.*:*Im2colKernel*:PlatformTest*:*TestBrewMode'
readonly SOURCE_TESTS='*SolverTest*:HDF5DataLayer*:HDF5Output*:ImageDataLayer*:IOTest*:DBTest*'

fail() {
    printf 'build-check: error: %s\n' "$@" >&2
    exit 1
}

say() { printf '\n== %s\n' "$*"; }

image_size() { # image_size TARGET: unpacked, in bytes
    if is_buildah; then
        "${engine[@]}" run --isolation chroot --user root "$1" -- \
            du --bytes --summarize --one-file-system / | cut -f 1
    else
        "${engine[@]}" image inspect --format '{{.Size}}' "objseg-check:$1"
    fi
}

run_in() { # run_in TARGET CMD …
    local target=$1
    shift
    if is_buildah; then
        "${engine[@]}" run --isolation chroot "$target" -- "$@"
    else
        "${engine[@]}" run --rm "objseg-check:$target" "$@"
    fi
}

# Each pinned package of docker/packages.txt is there in a version that its pin allows.
check_pins() { # check_pins TARGET
    local pin found
    while read -r pin; do
        found=$(run_in "$1" dpkg-query --show --showformat "\${Version}" "${pin%%=*}" </dev/null)
        # shellcheck disable=SC2053 # the pin is a pattern
        [[ $found == ${pin#*=} ]] || fail "${pin%%=*} is $found in $1, pinned is ${pin#*=}"
        echo "${pin%%=*} $found"
    done < <(packages | grep '=')
}

# libcaffe.so holds code for the architectures wanted and no other, and PTX for newer ones.
check_architectures() {
    local dump found want
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --no-deps "$CUOBJDUMP"
    dump=$(find "$work/venv" -name cuobjdump -type f)
    chmod +x "$dump"
    run_in cuda sh -c 'cat /usr/lib/*/libcaffe.so.1.0.0' >"$work/libcaffe.so"
    want=$(sed -nE 's/^ARG CUDA_ARCHS="(.*)"/\1/p' Dockerfile | xargs printf 'sm_%s.cubin\n'
        sed -nE 's/^ARG CUDA_PTX=(.+)/sm_\1.ptx/p' Dockerfile)
    found=$({ "$dump" --list-elf "$work/libcaffe.so" && "$dump" --list-ptx "$work/libcaffe.so"; } |
        sed -nE 's/.*\.(sm_[0-9a-z]+\.(cubin|ptx))$/\1/p' | sort | uniq --count)
    echo "$found"
    diff <(sort <<<"$want") <(awk '{ print $2 }' <<<"$found") ||
        fail "libcaffe.so (>) holds other architectures than the Dockerfile says (<)"
    [ "$(awk '{ print $1 }' <<<"$found" | sort --unique | wc -l)" = 1 ] ||
        fail "some files of libcaffe.so were compiled for fewer architectures than others"
}

check_cuda() {
    local answer
    check_architectures
    run_in cuda caffe-gtest --gtest_filter="$PATCH_TESTS" 2>/dev/null | tail -n 1
    [ ! -e /dev/nvidiactl ] || return 0
    # no driver on this machine: is that what Caffe says?
    answer=$(run_in cuda caffe device_query -gpu 0 2>&1) || true
    grep 'No NVIDIA driver is visible here' <<<"$answer" || fail "not the advice wanted: $answer"
}

check() { # check TARGET
    run_in "$1" caffe --version
    run_in "$1" python -c 'import caffe; print("pycaffe", caffe.__version__)'
    check_pins "$1"
    run_in "$1" sh -c "whoami | grep -vx root && touch data/x models/x out" ||
        fail "the user of $1 is root, or cannot write to data/, models/ and out/"
    run_in "$1" python -m pytest -q -p no:cacheprovider "${PROJECT_TESTS[@]}" | tail -n 8
    [ "$1" = cpu ] || check_cuda
    [ -z "$with_tests" ] ||
        run_in "$1" caffe-gtest --gtest_filter="-$GPU_TESTS:$SOURCE_TESTS" 2>/dev/null | tail -n 12 ||
        fail "Caffe's own tests end badly in $1 (see above)"
}

main_check() {
    local work engine build_arguments with_tests='' targets=() target patches
    while [ $# != 0 ]; do
        case $1 in
        --tests) with_tests=1 ;;
        cpu | cuda) targets+=("$1") ;;
        *) sed -n '2,/^$/s/^# \{0,1\}//p' docker/build-check.sh && exit 2 ;;
        esac
        shift
    done
    [ ${#targets[@]} != 0 ] || targets=(cpu cuda)
    work=$(mktemp -d)
    # shellcheck disable=SC2064 # $work is local
    trap "rm -rf --one-file-system '$work'" EXIT
    open_engine
    patches=(docker/patches/*.patch)
    say "${#patches[@]} patches, $(cat "${patches[@]}" | wc -l) lines in all," \
        "of which change Caffe: $(cat "${patches[@]}" | grep -cE '^[+-]([^+-]|$)')"
    for target in "${targets[@]}"; do
        say "building $target with ${engine[0]}"
        SECONDS=0
        build "$target" --tag "objseg-check:$target"
        echo "built in $SECONDS s"
        ! is_buildah || "${engine[@]}" from --name "$target" "objseg-check:$target" >/dev/null
        image_size "$target" | awk '{ printf "%.2f GB unpacked\n", $1 / 1e9 }'
        check "$target"
        ! is_buildah || "${engine[@]}" rm "$target" >/dev/null
    done
    say "all checks passed"
}

main_check "$@"
