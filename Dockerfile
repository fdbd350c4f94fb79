# poe-proxy in a container: `docker build -t poe-proxy .`, then
#
#   docker run -d --name poe-proxy -p 8080:8080 -e AuthKey=... -e TOKENS=... poe-proxy
#
# A demo that needs no Poe account has what the image has not, the stand-in for Poe:
#
#   docker build --target demo -t poe-proxy-demo .
#   docker run --rm -p 8080:8080 poe-proxy-demo
#
# How it is pinned: the base to a minor version of Python and a Debian release, so that building
# again with --pull brings their fixes and nothing else; every Python package to one version and
# the hashes of its files (requirements.txt). For a base that is the same to the byte:
#
#   docker build --build-arg BASE=python:3.12-slim-bookworm@sha256:... .
ARG BASE=python:3.12-slim-bookworm

# ---- the packages, in a virtual environment that is copied on as a whole
FROM ${BASE} AS packages

# For those who reach the package index in their own way: these are known in this stage only,
# and are in no layer and no history of the image.
ARG PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_CERT PIP_DEFAULT_TIMEOUT

COPY requirements.txt .
# Only wheels: there is no compiler here, and none is missing. The environment has no pip.
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir \
        --disable-pip-version-check --only-binary :all: --require-hashes \
        --requirement requirements.txt

# ---- the image
FROM ${BASE} AS server
ARG BASE

LABEL org.opencontainers.image.title="poe-proxy" \
      org.opencontainers.image.description="Your Poe subscription behind the OpenAI API" \
      org.opencontainers.image.licenses="GPL-3.0-only" \
      org.opencontainers.image.base.name="${BASE}"

# PYTHONDONTWRITEBYTECODE: the root file system may be read-only; all is compiled below.
# PYTHONUNBUFFERED: a line of the log is there when it is written.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# The base's installer goes, with the copy that would bring it back (ensurepip), so that nothing
# is added to a running container.
RUN python -m pip uninstall --quiet --yes --root-user-action ignore pip \
    && rm -r "$(python -c 'import ensurepip; print(ensurepip.__path__[0])')"

WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY LICENSE gunicorn.conf.py wsgi.py ./
COPY poe_proxy poe_proxy
RUN python -m compileall -q .

# A place for STATE_FILE: a volume that is mounted there gets its owner.
RUN install -d -m 700 -o 10001 -g 10001 /var/lib/poe-proxy

# A number and no name: Kubernetes can tell that it is not root. It owns no file of the program.
USER 10001:10001

EXPOSE 8080
# Replies under way are finished. `docker stop` waits 10 seconds: --stop-timeout 75 gives all
# the time that gunicorn.conf.py does.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8080), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]

CMD ["python", "-m", "poe_proxy"]

# ---- the image with the stand-in, which plays Poe for a demo
FROM server AS demo
COPY poe_sim poe_sim
CMD ["python", "-m", "poe_proxy", "demo"]

# ---- without --target, the image
FROM server
