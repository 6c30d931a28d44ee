# One region on LocalStack: the pinned release, and the lab's plugin that runs functions without Docker.
ARG LOCALSTACK_TAG=4.14.0
FROM localstack/localstack:${LOCALSTACK_TAG}
COPY docker/region/pyproject.toml /opt/lab/pyproject.toml
# As the base image's own packages are installed: with what they are pinned to, and without leaving a cache behind.
RUN /opt/code/localstack/.venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check -q /opt/lab
COPY lab /opt/lab/src/lab
RUN echo /opt/lab/src > "$(/opt/code/localstack/.venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/lab.pth" && \
    /opt/code/localstack/.venv/bin/python -m compileall -q /opt/lab/src/lab
ENV LAMBDA_RUNTIME_EXECUTOR=lab LS_LOG=warn DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 EAGER_SERVICE_LOADING=0
