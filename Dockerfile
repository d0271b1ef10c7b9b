# One image for the operator and for the runner in its Jobs. Builds alike with `docker build .` and `podman build .`.

FROM docker.io/rclone/rclone:1.76.0 AS rclone

# The client of the previous Debian: a server is dumped by its own major, so that its own pg_restore can read the dump.
FROM docker.io/library/debian:bookworm-slim AS postgresql-15
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql-client-15 \
    && dpkg --compare-versions "$(dpkg-query -W -f '${Version}' postgresql-client-15)" ge 15.18

FROM docker.io/library/debian:trixie-slim AS base
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates gpg gpg-agent isal postgresql-client-17 python3 \
    && dpkg --compare-versions "$(dpkg-query -W -f '${Version}' postgresql-client-17)" ge 17.10 \
    && rm -rf /var/lib/apt/lists/* /usr/share/doc /usr/share/man /var/cache/debconf /var/log/*

FROM base AS python
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-venv
COPY requirements.lock /
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --no-compile --require-hashes -r /requirements.lock \
    && /opt/venv/bin/pip uninstall --yes pip \
    && python3 -m compileall -q /opt/venv/lib

FROM base
COPY --from=rclone /usr/local/bin/rclone /usr/local/bin/rclone
COPY --from=postgresql-15 /usr/lib/postgresql/15/bin/pg_dump /usr/lib/postgresql/15/bin/pg_restore /usr/lib/postgresql/15/bin/psql /usr/lib/postgresql/15/bin/
COPY --from=python /opt/venv /opt/venv
COPY operator/quotenode_backup /opt/operator/quotenode_backup
RUN python3 -m compileall -q /opt/operator
# The working directory is never searched for modules, and nothing is written into the image at run time.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/operator PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /
ENTRYPOINT ["python3", "-m", "quotenode_backup"]
