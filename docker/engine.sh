# Sourced by the scripts of this folder. Builds the Dockerfile with docker, podman or buildah,
# whichever works here, and with this host's own pip index.
#
# Where the base image cannot be pulled, a stand-in is made with mmdebstrap (as root) and, with it,
# this host's Debian mirror and the certificates that it trusts. buildah works in a storage folder
# of its own in $work, about 20 GB; docker and podman keep their layers.
#
# The script that sources this defines fail and say, and sets $work, a folder that it deletes.
# shellcheck shell=bash disable=SC2154

# shellcheck source=tools/caffe-env
source "$(dirname "${BASH_SOURCE[0]}")/../tools/caffe-env" # for host_sources

readonly BASE_NAME=debian:bullseye-slim

is_buildah() { [ "${engine[0]}" = buildah ]; }

# The root file system of a base image that cannot be pulled.
make_base() { # make_base APT_SOURCE …
    local archive=$work/base.tar certificates=/usr/local/share/ca-certificates container
    if [ $EUID != 0 ] || ! has mmdebstrap; then
        fail "$BASE_NAME cannot be pulled" "as root, with mmdebstrap, a stand-in would be made"
    fi
    say "making a stand-in for $BASE_NAME, which cannot be pulled"
    mmdebstrap --quiet --variant=minbase \
        --customize-hook="mkdir -p \$1$certificates && cp -r $certificates \$1$certificates/.." \
        bullseye "$archive" "$@"
    if is_buildah; then
        container=$("${engine[@]}" from scratch)
        "${engine[@]}" add --quiet "$container" "$archive" / >/dev/null
        "${engine[@]}" commit --quiet --rm "$container" "localhost/$BASE_NAME" >/dev/null
    else
        "${engine[@]}" import "$archive" "localhost/$BASE_NAME" >/dev/null
    fi
    rm "$archive"
}

# Choose the engine, and the build arguments that this host calls for.
open_engine() {
    local sources index
    if docker info >/dev/null 2>&1; then
        engine=(docker)
    elif podman info >/dev/null 2>&1; then
        engine=(podman)
    elif has buildah; then
        engine=(buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs)
    else
        fail "none of docker, podman, buildah works here" \
            "on Debian, as root: apt-get install buildah"
    fi
    build_arguments=()
    index=$(python3 -m pip config get global.index-url 2>/dev/null || true)
    index=${PIP_INDEX_URL:-$index}
    [ -z "$index" ] || build_arguments+=(--build-arg "PIP_INDEX_URL=$index")
    if ! "${engine[@]}" pull --quiet "$BASE_NAME" >/dev/null 2>&1; then
        mapfile -t sources < <(host_sources /etc)
        make_base "${sources[@]}"
        build_arguments+=(--build-arg "BASE=localhost/$BASE_NAME")
    fi
}

# Build a target of the Dockerfile; the engine's words go to $work/TARGET.log.
build() { # build TARGET [OPTION …]
    local target=$1 command=(build)
    shift
    ! is_buildah || command=(bud --isolation chroot)
    "${engine[@]}" "${command[@]}" --target "$target" "${build_arguments[@]}" "$@" "$repository" \
        >"$work/$target.log" 2>&1 || {
        tail -n 40 "$work/$target.log" >&2
        fail "the target $target does not build (above: the end of its log)"
    }
}
