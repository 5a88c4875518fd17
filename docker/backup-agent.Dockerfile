# The image of the backup agent: PostgreSQL 15 of Debian with its client (pg_dump, pg_restore) and its server (for drills), and the
# agent. Runs with a read-only root; only /tmp is written, for which a pod mounts an emptyDir.
ARG BASE
FROM ${BASE}
ARG BINARY
COPY --chmod=0555 ${BINARY} /usr/bin/backup-agent
ENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin LANG=C.UTF-8
USER 65532:65532
ENTRYPOINT ["/usr/bin/backup-agent"]
