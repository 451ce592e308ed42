# Images with the Caffe environment; one target for each build of Caffe.
#
#   docker build --target cpu --tag objseg:cpu .
#   docker run --rm --interactive --tty objseg:cpu
#   docker run --rm --volume "$PWD:/workspace" --user "$(id -u):$(id -g)" objseg:cpu make demo

ARG BASE=debian:bullseye-slim

# cpu: Debian 11's own Caffe
FROM ${BASE} AS cpu
# A Debian mirror that has bullseye, for the day when the base image's own mirror drops it.
ARG MIRROR=
COPY docker/packages.txt /tmp/packages.txt
RUN if [ -n "$MIRROR" ]; then echo "deb $MIRROR bullseye main" > /etc/apt/sources.list; fi \
    && apt-get update \
    && sed 's/#.*//' /tmp/packages.txt | DEBIAN_FRONTEND=noninteractive \
        xargs apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/* /tmp/packages.txt \
    && useradd --create-home --shell /bin/bash caffe
# HOME need not be writable, so that any --user works.
ENV LANG=C.UTF-8 MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONPATH=/workspace:/workspace/python_layers
WORKDIR /workspace
COPY --chown=caffe:caffe . .
RUN chown caffe:caffe . && mkdir --mode=1777 "$MPLCONFIGDIR" \
    && python -c 'import caffe' && caffe --version
USER caffe
CMD ["bash"]
