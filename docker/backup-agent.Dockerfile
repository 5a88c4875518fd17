# The image of the backup agent: the PostgreSQL of backup-agent-rootfs.sh with its client (pg_dump, pg_restore) and its server (for
# drills), and the agent, which finds their folder by itself. Runs with a read-only root; only /tmp is written, for which a pod mounts
# an emptyDir.
ARG BASE
FROM ${BASE}
ARG BINARY
COPY --chmod=0555 ${BINARY} /usr/bin/backup-agent
ENV PATH=/usr/bin:/bin LANG=C.UTF-8
USER 65532:65532
ENTRYPOINT ["/usr/bin/backup-agent"]
