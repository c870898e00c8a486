# syntax=docker/dockerfile:1
# The manager with its page; it talks to a Triton that runs elsewhere. Built by docker-compose.yml.
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS wheels
ARG EXTRAS=web
WORKDIR /source
COPY Dockerfile pyproject.toml hatch_build.py README.md LICENSE NOTICE requirements.lock ./
COPY templates templates
COPY tritonpm tritonpm
RUN pip wheel --no-cache-dir --constraint requirements.lock --wheel-dir /wheels ".[${EXTRAS}]"

FROM ${PYTHON_IMAGE}
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels /wheels/*.whl \
    && useradd --uid 1000 --home-dir /workspace --shell /usr/sbin/nologin tritonpm \
    && install --directory --owner 1000 --group 1000 --mode 0750 /workspace
USER 1000:1000
WORKDIR /workspace
ENV TRITONPM_WORKSPACE=/workspace PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
VOLUME /workspace
ENTRYPOINT ["tritonpm"]
CMD ["--help"]
