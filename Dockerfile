# docker build -t maskgraph:cuda .
# docker build -t maskgraph:cpu --build-arg TORCH_INDEX=URL .   with the index of PyTorch's CPU wheels, a tenth of the size
#
# PyTorch's wheels bring CUDA, so that the CUDA image needs no other base: only NVIDIA's driver and container toolkit on
# the machine. The Ray and Python in here must be those of every node of a cluster.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
ARG TORCH_INDEX
RUN python -m venv /opt/maskgraph
ENV PATH=/opt/maskgraph/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
# What changes seldom comes first: a change of code alone installs no package again.
COPY pyproject.toml README.md LICENSE ./
RUN if [ -n "$TORCH_INDEX" ]; then pip install --index-url "$TORCH_INDEX" torch torchvision; fi \
    && mkdir serve_app deployments && touch serve_app/__init__.py deployments/__init__.py \
    && pip install '.[service,batch,heic]' && pip uninstall --yes maskgraph
COPY serve_config.yaml ./
COPY configs configs
COPY deployments deployments
COPY serve_app serve_app
RUN pip install --no-deps .

FROM python:${PYTHON}-slim
# KubeRay's probes call wget, Ray's cluster launcher rsync.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends procps rsync wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 maskgraph
COPY --from=build /opt/maskgraph /opt/maskgraph
COPY --chown=1000:1000 configs /home/maskgraph/configs
ENV PATH=/opt/maskgraph/bin:$PATH \
    MASKGRAPH_CACHE=/home/maskgraph/.cache/maskgraph \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0
USER 1000
WORKDIR /home/maskgraph
EXPOSE 8000 9000
# One machine, loopback of its network: docker run --network host. Another config is an argument: maskgraph serve FILE.
CMD ["maskgraph", "serve"]
