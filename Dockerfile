# The server as an image: `make image`; docs/container.md says how to build and run it.
# Nothing here needs more than buildah 1.28 has. With a folder `wheelhouse` beside this file
# (`make wheelhouse`) nothing is fetched.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG DEVICE=cpu
ARG EXTRAS=demo,s3,parquet,otel
# Where pip looks without a wheelhouse, if not where it always does.
ARG PIP_INDEX_URL=""
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_CONSTRAINT=/build/requirements.lock \
    PIP_BUILD_CONSTRAINT=/build/requirements.lock \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_COMPILE=1 \
    PIP_NO_INPUT=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY adapter_runtime adapter_runtime
COPY serving serving
COPY deploy deploy
# A build for the CPU is torch's `+cpu`; `===` keeps that one out of a build for CUDA.
RUN --mount=type=bind,target=/context \
    set -eu; \
    version="$(sed -n 's/^torch==//p' requirements.lock)"; \
    case "$DEVICE" in \
        cpu) torch="torch==$version+cpu" ;; \
        cuda) torch="torch===$version" ;; \
        *) echo "DEVICE is '$DEVICE'; it may be cpu or cuda." >&2; exit 2 ;; \
    esac; \
    if [ -d /context/wheelhouse ]; then \
        export PIP_NO_INDEX=1 PIP_FIND_LINKS=/context/wheelhouse; \
    fi; \
    python3 -m venv --without-pip /opt/venv; \
    if ! python3 -m pip --python /opt/venv install --quiet "$torch" ".[$EXTRAS]"; then \
        echo "$torch or another package is missing: run 'make wheelhouse DEVICE=$DEVICE' first, or" \
            "name an index that has it with --build-arg PIP_EXTRA_INDEX_URL=ADDRESS." >&2; \
        exit 1; \
    fi; \
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/py312_' /opt/venv/lib

FROM ${BASE}
ARG BASE
ARG DEVICE=cpu
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=""
LABEL org.opencontainers.image.title="polyhead" \
      org.opencontainers.image.description="One frozen backbone, hundreds of tasks on it" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="$BASE" \
      polyhead.device="$DEVICE"
RUN useradd --uid 10001 --user-group --no-log-init --no-create-home --home-dir /cache \
        --shell /usr/sbin/nologin polyhead \
    && install --directory --owner=polyhead --group=polyhead /cache
COPY --from=build /opt/venv /opt/venv
COPY examples /opt/polyhead/examples
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/cache \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/cache/huggingface \
    XDG_CACHE_HOME=/cache \
    POLYHEAD_HOST=0.0.0.0 \
    POLYHEAD_TASKS=/opt/polyhead/examples/tasks.yaml
USER 10001:10001
VOLUME /cache
EXPOSE 8080
STOPSIGNAL SIGTERM
# It asks as long as the server itself takes to call a silent device broken.
HEALTHCHECK --interval=10s --timeout=12s --start-period=180s --retries=3 \
    CMD ["python3", "-c", "import http.client, os, sys; server = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('POLYHEAD_PORT', '8080')), timeout=11); server.request('GET', '/health/live'); sys.exit(server.getresponse().status != 200)"]
ENTRYPOINT ["polyhead"]
CMD ["serve"]
