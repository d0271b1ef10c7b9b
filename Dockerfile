# One image for the operator and for the runner in its Jobs. Builds alike with `docker build .` and `podman build .`.

FROM docker.io/rclone/rclone:1.76.0 AS rclone

# PostgreSQL's clients, by Debian release: a server is dumped by its own major, so that its own pg_restore can read the dump. Only the
# programs are taken: the packages bring Perl along. Older patch releases than these have published holes in pg_dump.
FROM docker.io/library/debian:bookworm-slim AS postgresql-15
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql-client-15 \
    && dpkg --compare-versions "$(dpkg-query -W -f '${Version}' postgresql-client-15)" ge 15.18

FROM docker.io/library/debian:trixie-slim AS postgresql-17
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql-client-17 \
    && dpkg --compare-versions "$(dpkg-query -W -f '${Version}' postgresql-client-17)" ge 17.10

FROM docker.io/library/debian:trixie-slim AS base
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        ca-certificates gpg gpg-agent liblz4-1 libpq5 libreadline8t64 libzstd1 python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /usr/share/doc /usr/share/locale /usr/share/man

FROM base AS python
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-venv
COPY requirements.lock /
RUN python3 -m venv --without-pip /opt/venv \
    && python3 -m venv /opt/pip \
    && /opt/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --require-hashes -r /requirements.lock
# The root file system is read-only at run time, so what is imported at start is compiled here, and only that: the
# Kubernetes client brings some thousand models that nobody imports.
RUN /opt/venv/bin/python -c "import kopf, kubernetes.aio.client, kubernetes.aio.config, prometheus_client, psycopg, pydantic, yaml; from backports import zstd; from isal import isal_zlib"

FROM base
COPY --from=rclone /usr/local/bin/rclone /usr/local/bin/rclone
COPY --from=postgresql-15 /usr/lib/postgresql/15/bin/pg_dump /usr/lib/postgresql/15/bin/pg_restore /usr/lib/postgresql/15/bin/psql /usr/lib/postgresql/15/bin/
COPY --from=postgresql-17 /usr/lib/postgresql/17/bin/pg_dump /usr/lib/postgresql/17/bin/pg_restore /usr/lib/postgresql/17/bin/psql /usr/lib/postgresql/17/bin/
COPY --from=python /opt/venv /opt/venv
COPY operator/quotenode_backup /opt/operator/quotenode_backup
RUN python3 -m compileall -q /opt/operator
# The working directory is never searched for modules.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/opt/operator PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /
ENTRYPOINT ["python3", "-m", "quotenode_backup"]
