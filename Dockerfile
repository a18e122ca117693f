# An image with the project set up in it. Unbuilt: there was no container engine where it was written; the same
# commands were run in a bare Debian 12.
#
#   docker build -t albert_hvd .
#   docker build -t albert_hvd:gpu --build-arg SETUP=--gpu .    # runs with driver 580 or newer; for older ones,
#                                 or V100s, add --build-arg BASE=nvidia/cuda:12.5.1-devel-ubuntu22.04: its nvcc is taken
#   docker run --rm -it -v "$PWD/runs:/opt/albert_hvd/runs" albert_hvd horovodrun -np 2 bin/pretrain
ARG BASE=debian:12-slim
FROM ${BASE}
ARG SETUP=--cpu
RUN apt-get update && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 python3-venv g++ openssh-client && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /opt/albert_hvd
COPY . .
RUN bin/setup ${SETUP} && rm -rf /root/.cache
ENV PATH=/opt/albert_hvd/.venv/bin:${PATH}
