# Images with the Caffe environment; one target for each build of Caffe.
#
# cuda (the default): Caffe with CUDA and cuDNN. Takes half an hour to build on two cores; to use a
# GPU the host needs NVIDIA's driver and container toolkit.
#
#   docker build --tag objseg .
#   docker run --rm --gpus all --volume "$PWD:/workspace" --user "$(id -u):$(id -g)" objseg \
#     caffe train -solver prototxt/solver_highres.prototxt
#   … objseg python tools/eval_referit.py --gpu 0
#
# cpu: Debian 11's own Caffe
#
#   docker build --target cpu --tag objseg:cpu .
#   docker run --rm --volume "$PWD:/workspace" --user "$(id -u):$(id -g)" objseg:cpu make demo
#
# The checkout holds the prepared data and the weights. What a container writes to data/, models/
# and out/ stays where it is mounted, as above, or in volumes:
#   --volume objseg-data:/workspace/data \
#   --volume objseg-models:/workspace/models --volume objseg-out:/workspace/out
#
# docs/gpu.md tells of the patches, of other versions of CUDA, and what was verified.

ARG BASE=debian:bullseye-slim

FROM ${BASE} AS bullseye
# The URL that holds debian and debian-security, as on Debian's own servers and its archive, for the
# day when the base image's own mirror drops bullseye. The base image has packages from both; what
# an archive holds is not signed anew.
ARG MIRROR=
RUN [ -z "$MIRROR" ] || printf 'deb [check-valid-until=no] %s/%s main\n' \
    "$MIRROR" "debian bullseye" "$MIRROR" "debian-security bullseye-security" \
    > /etc/apt/sources.list

# ---- the CUDA build of Caffe ----

# toolkit: CUDA and cuDNN in /usr/local/cuda
FROM bullseye AS toolkit
# The wheels of the versions wanted, and the index to take them from where it is not pip's own.
ARG CUDA_WHEELS=docker/cuda-wheels.txt
ARG PIP_INDEX_URL=
# OFF leaves cuDNN out: smaller, slower
ARG CUDNN=ON
COPY ${CUDA_WHEELS} /tmp/cuda-wheels.txt
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-pip \
    && rm -rf /var/lib/apt/lists/* \
    && { [ "$CUDNN" = ON ] || sed -i -E '/-(cudnn|cuda-nvrtc)/d' /tmp/cuda-wheels.txt; } \
    && python3 -m pip install --no-cache-dir --no-deps --no-compile --target=/tmp/wheels \
        --requirement=/tmp/cuda-wheels.txt \
    && mv /tmp/wheels/nvidia/cu* /usr/local && cd /usr/local && mv cu[0-9]* cuda \
    && { [ "$CUDNN" = OFF ] || { cp -rl cudnn/include cudnn/lib cuda && rm -r cudnn; }; } \
    && rm -r /tmp/wheels && cd cuda && chmod --recursive +x bin nvvm/bin && ln -s lib lib64 \
    # what neither the build nor Caffe ever loads (cudnn_adv: recurrent nets and attention)
    && rm -f lib/libcudnn_adv.* lib/libnvblas.* lib/libnvvm.* lib/libnvrtc*.alt.* \
    && for library in lib/*.so.*; do ln -s "${library##*/}" "${library%%.so.*}.so"; done
ENV PATH=/usr/local/cuda/bin:$PATH

# source: Debian's source of Caffe with our patches in /usr/src/caffe, and what it builds with
FROM toolkit AS source
COPY docker/patches /tmp/patches
RUN sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > /etc/apt/sources.list.d/source.list \
    && apt-get update && cd /usr/src \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends dpkg-dev \
    && apt-get source caffe=1.0.0+git20180821.99bd997-8 && mv caffe-*/ caffe \
    && DEBIAN_FRONTEND=noninteractive apt-get build-dep --yes --no-install-recommends \
        --arch-only ./caffe \
    && rm -rf /var/lib/apt/lists/* && cd caffe \
    && for patch in /tmp/patches/*.patch; do patch --fuzz=0 -p1 < "$patch" || exit; done

# build: the Debian packages of the patched Caffe in /packages
FROM source AS build
WORKDIR /usr/src/caffe
# Compute capabilities to build code for, and the one of the PTX that newer cards compile.
ARG CUDA_ARCHS="75 80 86 89 90"
ARG CUDA_PTX=90
ARG CUDNN=ON
RUN sed -i '1s/)/+objseg)/' debian/changelog \
    && DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=$(nproc)" \
        dpkg-buildpackage --build=any --no-sign \
    && mkdir /packages && mv ../caffe_*.deb ../libcaffe1_*.deb ../python3-caffe_*.deb /packages \
    && debian/rules clean

# bundle: the patched Caffe as an archive for machines without Docker (docker/bundle.sh). Without
# OpenCV, LevelDB and LMDB in C++: our nets read nothing with them, and libraries by the hundred
# would follow.
FROM source AS bundle-build
ARG PIP_INDEX_URL=
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        libopenblas0-pthread python3-matplotlib python3-tqdm xz-utils \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m pip install --no-cache-dir --no-deps --no-compile --target=/opt/cv2 \
        opencv-python-headless==4.5.1.48
WORKDIR /usr/src/caffe
# debian/rules knows the defaults
ARG CUDA_ARCHS
ARG CUDA_PTX
ARG CUDNN
RUN debian/rules override_dh_auto_configure \
        ADCF="-DUSE_OPENCV=OFF -DUSE_LEVELDB=OFF -DUSE_LMDB=OFF" \
    && make --directory=caffe_cpu_build --jobs="$(nproc)" caffe.bin pycaffe
COPY docker/bundle /tmp/bundle
RUN /tmp/bundle/pack.sh /usr/src/caffe /usr/local/cuda /tmp/cuda-wheels.txt /opt/cv2 \
        /opt/objseg-caffe \
    && XZ_OPT=-9e tar --create --xz --file=/opt/objseg-caffe.tar.xz --directory=/opt \
        --sort=name --owner=0 --group=0 --numeric-owner objseg-caffe

FROM scratch AS bundle
COPY --from=bundle-build /opt/objseg-caffe.tar.xz /

# ---- what the images share ----

FROM bullseye AS environment
COPY docker/packages.txt /etc/objseg-packages.txt
RUN apt-get update \
    && sed 's/#.*//; /caffe/d' /etc/objseg-packages.txt | DEBIAN_FRONTEND=noninteractive \
        xargs apt-get install --yes --no-install-recommends \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --shell /bin/bash caffe \
    && install --directory --owner=caffe --group=caffe /workspace \
    && install --directory --mode=1777 /tmp/matplotlib
# HOME need not be writable, so that any --user works.
ENV LANG=C.UTF-8 MPLCONFIGDIR=/tmp/matplotlib OMPI_MCA_odls_base_sigkill_timeout=30 \
    PYTHONPATH=/workspace:/workspace/python_layers
WORKDIR /workspace
CMD ["bash"]

# ---- the images ----

FROM environment AS cpu
RUN apt-get update \
    && sed -n 's/#.*//; /caffe/p' /etc/objseg-packages.txt | DEBIAN_FRONTEND=noninteractive \
        xargs apt-get install --yes --no-install-recommends \
    && rm -rf /var/lib/apt/lists/* && python -c 'import caffe' && caffe --version
COPY --chown=caffe:caffe . .
USER caffe

FROM environment AS cuda
COPY --from=toolkit /usr/local/cuda/lib/*.so.* /usr/local/cuda/lib/
COPY --from=build /packages /tmp/packages
RUN echo /usr/local/cuda/lib > /etc/ld.so.conf.d/cuda.conf && ldconfig && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        /tmp/packages/*.deb \
    && rm -rf /var/lib/apt/lists/* /tmp/packages \
    && python -c 'import caffe' && caffe --version
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --chown=caffe:caffe . .
USER caffe
