# Images with the Caffe environment (engine/setup), on Debian 13.
#
# cuda (the default): Caffe with CUDA 13 and cuDNN 9. To use a GPU the host needs NVIDIA's driver
# and container toolkit.
#
#   docker build --tag objseg .
#   docker run --rm --gpus all --volume "$PWD:/workspace" --user "$(id -u):$(id -g)" objseg \
#     caffe train -solver prototxt/solver_highres.prototxt
#   … objseg python tools/eval_referit.py --gpu 0
#
# cpu: without CUDA
#
#   docker build --target cpu --tag objseg:cpu .
#   docker run --rm --volume "$PWD:/workspace" --user "$(id -u):$(id -g)" objseg:cpu make demo
#
# the page of tools/serve.py, for this machine:
#
#   docker run --rm --volume "$PWD:/workspace" --user "$(id -u):$(id -g)" \
#     --publish 127.0.0.1:8000:8000 objseg:cpu python tools/serve.py --host 0.0.0.0
#
# What a container writes to data/, models/ and out/ stays where it is mounted, as above, or in
# volumes: --volume objseg-data:/workspace/data and the same for models and out.
# docs/engine.md describes the build, docs/gpu.md what was verified.

ARG BASE=debian:trixie-slim

FROM ${BASE} AS base
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates make python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --shell /bin/bash caffe \
    && install --directory --owner=caffe --group=caffe /workspace \
    && install --directory --mode=1777 /tmp/matplotlib
# HOME need not be writable, so that any --user works.
ENV LANG=C.UTF-8 MPLCONFIGDIR=/tmp/matplotlib PATH=/opt/objseg/bin:$PATH
WORKDIR /workspace
ENTRYPOINT ["/workspace/tools/caffe-env"]
CMD ["bash"]

# Options of engine/make_wheel.py, such as --architectures 80 120+PTX, and an index of Python
# packages to use in place of pip's own.
FROM base AS build-cpu
ARG OPTIONS=
ARG PIP_INDEX_URL=
COPY engine /tmp/engine
RUN /tmp/engine/setup /opt/objseg $OPTIONS \
    && /opt/objseg/bin/python -m compileall -q -j 0 /opt/objseg/lib

FROM base AS build-cuda
ARG OPTIONS=
ARG PIP_INDEX_URL=
COPY engine /tmp/engine
# without what Caffe never loads (cudnn_adv: recurrent nets and attention)
RUN /tmp/engine/setup /opt/objseg --cuda $OPTIONS \
    && /opt/objseg/bin/python -m compileall -q -j 0 /opt/objseg/lib \
    && cd /opt/objseg/lib/python3*/site-packages/nvidia \
    && rm cudnn/lib/libcudnn_adv.* cu13/lib/libnvblas.* cu13/lib/libnvrtc*.alt.*

FROM base AS cpu
COPY --from=build-cpu /opt/objseg /opt/objseg
COPY --chown=caffe:caffe . .
USER caffe

FROM base AS cuda
COPY --from=build-cuda /opt/objseg /opt/objseg
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --chown=caffe:caffe . .
USER caffe
