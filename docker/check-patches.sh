#!/bin/bash
# Check the patches of Caffe without building it: do they apply to Debian's source, with no fuzz,
# and does what they touch compile?
#
#   docker/check-patches.sh           compiles the C++ files for the CPU
#   docker/check-patches.sh --cuda    also for CUDA, with and without cuDNN, and the .cu files with
#                                     nvcc: downloads docker/cuda-wheels.txt, 1 GB
#
# On Debian; as root it installs what it compiles with. The exit status is 77 where the patches
# cannot be tried, for want of a package or of the source. docker/build-check.sh builds everything.

set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/caffe-env
source tools/caffe-env # host_sources, packages, fail

readonly NEEDED=(dpkg-dev patch g++ python3 python3-venv protobuf-compiler libprotobuf-dev
    libboost-dev libgoogle-glog-dev libgflags-dev libblas-dev)

say() { echo "check-patches: $*" >&2; }

not_tried() { (fail "$@") || exit 77; }

install_needed() {
    local missing=() package
    for package in "${NEEDED[@]}"; do
        dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null |
            grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} != 0 ] || return 0
    [ $EUID = 0 ] ||
        not_tried "this machine lacks ${missing[*]}" "As root: apt-get install ${missing[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes \
        --no-install-recommends "${missing[@]}"; } >/dev/null ||
        not_tried "apt-get cannot install ${missing[*]} (see above)"
}

# Debian 11's source with Debian's own patches in $work/caffe; apt checks the signatures.
fetch_source() {
    local version options
    version=$(packages | sed -n 's/^caffe=\(.*\)\*$/\1/p')
    mkdir -p "$work"/{lists/partial,source}
    host_sources /etc | sed "s,^deb ,&-src [signed-by=$KEYRING] ,; s,deb -src,deb-src," |
        grep " $SUITE main" >"$work/sources.list" ||
        not_tried "this host's apt has no mirror of Debian" "Run it on Debian."
    options=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$work/lists" -o APT::Sandbox::User=root -qq)
    { apt-get "${options[@]}" update &&
        (cd "$work/source" && apt-get "${options[@]}" source "caffe=$version"); } >/dev/null ||
        not_tried "Debian 11's source of Caffe cannot be fetched (see above)"
    mv "$work"/source/caffe-*/ "$work/caffe"
}

compile() { # compile NAME COMMAND …, with each of the files that standard input lists
    local name=$1 files
    shift
    mapfile -t files
    printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -I '{}' "$@" '{}' ||
        fail "a file does not compile ($name, see above)"
    echo "$name: ${#files[@]} files compile"
}

main_check() {
    local work patch touched cpp cu flags toolkit
    work=$(mktemp -d)
    # shellcheck disable=SC2064 # $work is local
    trap "rm -rf --one-file-system '$work'" EXIT
    install_needed
    fetch_source
    for patch in docker/patches/*.patch; do
        patch --directory="$work/caffe" --strip=1 --fuzz=0 --quiet <"$patch" ||
            fail "$patch does not apply (see above)"
    done
    echo "$(printf '%s\n' docker/patches/*.patch | wc -l) patches apply"

    cd "$work/caffe"
    # what the patches touch, and what comes with the headers of layers that they touch
    touched=$(sed -n 's,^+++ b/,,p' "$repository"/docker/patches/*.patch |
        sed -E '/^include.*_layer\.hpp$/{p; s,include/(.*)hpp,src/\1cu,}' | sort -u)
    cpp=$(grep '\.cpp$' <<<"$touched")
    cu=$(grep '\.cu$' <<<"$touched")
    python3 -m py_compile python/caffe/io.py
    mkdir -p include/caffe/proto
    protoc --proto_path=src/caffe/proto --cpp_out=include/caffe/proto src/caffe/proto/caffe.proto
    flags=(-std=c++14 -Iinclude -Isrc)
    compile CPU g++ -fsyntax-only "${flags[@]}" -DCPU_ONLY <<<"$cpp"
    [ "${1:-}" = --cuda ] || return 0
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --no-cache-dir --no-deps \
        --requirement "$repository/docker/cuda-wheels.txt" ||
        not_tried "CUDA's wheels cannot be fetched (see above)"
    toolkit=$(echo "$work"/venv/lib/python3*/site-packages/nvidia/cu[0-9]*)
    flags+=("-I$toolkit/include" "-I${toolkit%/*}/cudnn/include")
    chmod --recursive +x "$toolkit/bin" "$toolkit/nvvm/bin"
    compile CUDA g++ -fsyntax-only "${flags[@]}" <<<"$cpp"
    compile cuDNN g++ -fsyntax-only "${flags[@]}" -DUSE_CUDNN <<<"$cpp"
    compile nvcc "$toolkit/bin/nvcc" -arch=sm_90 "${flags[@]}" -DUSE_CUDNN --output-file /dev/null \
        -c <<<"$cu"
}

main_check "$@"
