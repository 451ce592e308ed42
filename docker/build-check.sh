#!/bin/bash
# Build the images of the Dockerfile for real, and check what they hold.
#
#   docker/build-check.sh [--tests] [TARGET …]     TARGET: cpu, cuda; default both
#
# --tests also runs Caffe's own C++ tests that need no GPU, in each image (minutes).
#
# Takes docker, podman or buildah, whichever works here, and this host's own Debian mirror and pip
# index. Where the base image cannot be pulled, a stand-in is made with mmdebstrap (as root) and,
# with it, the certificates that this host trusts. buildah works in a storage folder of its own
# under ${TMPDIR:-/tmp}, about 20 GB, which is deleted at the end; docker and podman keep the
# images as objseg-check:TARGET.

set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/caffe-env
source tools/caffe-env # for host_sources

readonly BASE_NAME=debian:bullseye-slim
readonly CUOBJDUMP=nvidia-cuda-cuobjdump==13.2.51
# no data, no network, no process table: true in any container
readonly PROJECT_TESTS=(tests/test_{python_layers,nets,geometry,metrics,expressions,dataset}.py)

fail() {
    printf 'build-check: error: %s\n' "$@" >&2
    exit 1
}

say() { printf '\n== %s\n' "$*"; }

# ---- engines ----

choose_engine() {
    if docker info >/dev/null 2>&1; then
        engine=(docker)
    elif podman info >/dev/null 2>&1; then
        engine=(podman)
    elif has buildah; then
        mkdir "$work/storage"
        engine=(buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs)
    else
        fail "none of docker, podman, buildah works here" "on Debian, as root: apt-get install buildah"
    fi
}

is_buildah() { [ "${engine[0]}" = buildah ]; }

# The root file system of a base image that cannot be pulled.
make_base() {
    local archive=$work/base.tar certificates=/usr/local/share/ca-certificates container
    { [ $EUID = 0 ] && has mmdebstrap; } ||
        fail "$BASE_NAME cannot be pulled" "as root, with mmdebstrap, a stand-in would be made"
    say "making a stand-in for $BASE_NAME, which cannot be pulled"
    mmdebstrap --quiet --variant=minbase \
        --customize-hook="mkdir -p \$1$certificates && cp -r $certificates \$1$certificates/.." \
        bullseye "$archive" "${sources[@]}"
    base=localhost/$BASE_NAME
    if is_buildah; then
        container=$("${engine[@]}" from scratch)
        "${engine[@]}" add --quiet "$container" "$archive" / >/dev/null
        "${engine[@]}" commit --quiet --rm "$container" "$base" >/dev/null
    else
        "${engine[@]}" import "$archive" "$base" >/dev/null
    fi
    rm "$archive"
}

build() { # build TARGET
    local command=(build)
    ! is_buildah || command=(bud --isolation chroot)
    "${engine[@]}" "${command[@]}" --target "$1" --tag "objseg-check:$1" \
        --build-arg BASE="$base" "${arguments[@]}" . >"$work/$1.log" 2>&1 || {
        tail -n 40 "$work/$1.log" >&2
        fail "the target $1 does not build (above: the end of its log)"
    }
}

image_size() { # image_size TARGET: bytes unpacked
    if is_buildah; then
        "${engine[@]}" images --json "objseg-check:$1" | python3 -c '
import json, re, sys
number, unit = re.match(r"([\d.]+) (\w+)", json.load(sys.stdin)[0]["size"]).groups()
print(int(float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit]))'
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

# ---- checks ----

# Each pinned package of docker/packages.txt is there in a version that its pin allows.
check_pins() { # check_pins TARGET
    local pin found
    while read -r pin; do
        found=$(run_in "$1" dpkg-query --show --showformat "\${Version}" "${pin%%=*}")
        # shellcheck disable=SC2053 # the pin is a pattern
        [[ $found == ${pin#*=} ]] || fail "${pin%%=*} is $found in $1, pinned is ${pin#*=}"
    done < <(packages | grep '=')
}

# libcaffe.so holds code for the architectures wanted and no other, and PTX for newer ones.
check_architectures() {
    local found want
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --no-deps "$CUOBJDUMP"
    dump=$(find "$work/venv" -name cuobjdump -type f)
    chmod +x "$dump"
    run_in cuda sh -c 'cat /usr/lib/*/libcaffe.so.1.0.0' >"$work/libcaffe.so"
    want=$(sed -nE 's/^ARG CUDA_ARCHS="(.*)"/\1/p' Dockerfile | xargs printf 'sm_%s.cubin\n')
    want+=$'\n'$(sed -nE 's/^ARG CUDA_PTX=//p' Dockerfile | xargs printf 'sm_%s.ptx\n')
    found=$({ "$dump" --list-elf "$work/libcaffe.so" && "$dump" --list-ptx "$work/libcaffe.so"; } |
        sed -nE 's/^(ELF|PTX) file.*\.(sm_[0-9]+[a-z]*\.(cubin|ptx))$/\2/p' | sort | uniq -c)
    echo "$found"
    diff <(sort <<<"$want") <(awk '{ print $2 }' <<<"$found" | sort) ||
        fail "libcaffe.so holds other architectures than the Dockerfile says (<)"
    [ "$(awk '{ print $1 }' <<<"$found" | sort -u | wc -l)" = 1 ] ||
        fail "some files of libcaffe.so were compiled for fewer architectures than others"
}

check() { # check TARGET
    local target=$1 answer
    run_in "$target" caffe --version
    run_in "$target" python -c 'import caffe; print("caffe", caffe.__version__, caffe.__file__)'
    check_pins "$target"
    run_in "$target" sh -c "whoami | grep -vx root && touch data/x models/x out" ||
        fail "the user of $target is root, or cannot write to data/ and models/"
    run_in "$target" python -m pytest -q -p no:cacheprovider "${PROJECT_TESTS[@]}"
    if [ "$target" = cuda ]; then
        check_architectures
        if [ ! -e /dev/nvidiactl ]; then # a machine without a driver: is the advice there?
            answer=$(run_in cuda caffe device_query -gpu 0 2>&1) || true
            grep 'No NVIDIA driver is visible here' <<<"$answer" || fail "no advice in: $answer"
        fi
    fi
    # CommonTest.TestRandSeedCPU needs the CPU mode, which tests of other files leave
    [ -z "$with_tests" ] || run_in "$target" sh -c \
        'cd /tmp && caffe-gtest --gtest_brief=1 --gtest_filter=-*GPU*:*/1.*:*/3.* | tail -n 25'
}

main_check() {
    local work engine base=$BASE_NAME sources arguments=() with_tests='' targets=() target mirror index
    while [ $# != 0 ]; do
        case $1 in
        --tests) with_tests=1 ;;
        cpu | cuda) targets+=("$1") ;;
        *) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" && exit 2 ;;
        esac
        shift
    done
    [ ${#targets[@]} != 0 ] || targets=(cpu cuda)
    work=$(mktemp -d)
    # shellcheck disable=SC2064 # $work is local
    trap "rm -rf --one-file-system '$work'" EXIT
    choose_engine
    mapfile -t sources < <(host_sources /etc)
    mirror=$(awk '$3 == "bullseye" { print $2; exit }' < <(printf '%s\n' "${sources[@]}"))
    [ -z "$mirror" ] || arguments+=(--build-arg "MIRROR=$mirror")
    index=$(python3 -m pip config get global.index-url 2>/dev/null || true)
    index=${PIP_INDEX_URL:-$index}
    [ -z "$index" ] || arguments+=(--build-arg "PIP_INDEX_URL=$index")
    "${engine[@]}" pull --quiet "$base" >/dev/null 2>&1 || make_base

    say "patches: $(find docker/patches -name '*.patch' | wc -l), in all" \
        "$(cat docker/patches/*.patch | wc -l) lines," \
        "$(cat docker/patches/*.patch | grep -cE '^[+-]([^+-]|$)') of them changed"
    for target in "${targets[@]}"; do
        say "building $target with ${engine[0]}"
        SECONDS=0
        build "$target"
        echo "$target: built in $SECONDS s, $(image_size "$target" | awk '{ printf "%.2f GB", $1 / 1e9 }')"
        ! is_buildah || "${engine[@]}" from --name "$target" "objseg-check:$target" >/dev/null
        check "$target"
        ! is_buildah || "${engine[@]}" rm "$target" >/dev/null
    done
    say "all checks passed"
}

main_check "$@"
