#!/bin/bash
# Make the bundle: Caffe with CUDA in an archive for machines without Docker.
#
#   docker/bundle.sh [--out FILE] [BUILD OPTION …]
#
# FILE is objseg-caffe.tar.xz unless said otherwise. BUILD OPTIONs go to `docker build`, such as
# --build-arg CUDNN=OFF. docs/gpu.md tells how to use the bundle.

set -euo pipefail
# shellcheck source=docker/engine.sh
source "$(dirname "$0")/engine.sh"

fail() {
    printf 'bundle: error: %s\n' "$@" >&2
    exit 1
}

say() { echo "bundle: $*" >&2; }

main_bundle() {
    local out=objseg-caffe.tar.xz work
    case ${1:-} in
    -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" && exit ;;
    --out)
        [ $# -ge 2 ] || fail "--out needs a file"
        out=$2
        shift 2 ;;
    esac
    [ -d "$(dirname "$out")" ] || fail "$(dirname "$out"): no such folder"
    work=$(mktemp -d)
    # shellcheck disable=SC2064 # $work is local
    trap "rm -rf --one-file-system '$work' '$out.part'" EXIT
    open_engine
    say "building with ${engine[0]}, half an hour on two cores"
    SECONDS=0
    build bundle --output "type=local,dest=$work/bundle" "$@"
    cp "$work/bundle/objseg-caffe.tar.xz" "$out.part"
    mv "$out.part" "$out"
    say "$out, $(wc -c <"$out" | awk '{ printf "%.1f MB", $1 / 1e6 }'), made in $SECONDS s"
}

main_bundle "$@"
