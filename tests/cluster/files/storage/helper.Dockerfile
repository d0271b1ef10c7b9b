# What the provisioner runs on a node to make and remove a volume's folder.
FROM docker.io/library/debian:bookworm-slim AS packages
RUN apt-get update \
    && apt-get install --yes --no-install-recommends busybox-static \
    && mkdir --parents /helper/bin \
    && for name in busybox sh mkdir rm; do cp /bin/busybox "/helper/bin/$name"; done

FROM scratch
COPY --from=packages /helper /
ENV PATH=/bin
