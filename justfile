# `./dev <recipe>` runs these and brings what they need; with `just` at hand, `just <recipe>` is the same.

# Cargo compiles dependencies anew for every other selection of packages, because their features differ: hence no -p in what the demo and
# `ci` run; the target's name selects.
set shell := ["bash", "-euo", "pipefail", "-c"]

export WORKFLOW_OPERATOR_CACHE := env("WORKFLOW_OPERATOR_CACHE", env("XDG_CACHE_HOME", env("HOME") / ".cache") / "workflow-operator")
# One per checkout: cargo would take what another one compiled for this one's whenever its files are the older ones. A new clone at the
# same place finds what it can use again.
export CARGO_TARGET_DIR := env("CARGO_TARGET_DIR", WORKFLOW_OPERATOR_CACHE / "target" / sha256(justfile_directory()))

cluster := justfile_directory() / "tests/cluster/cluster"
# By which the local node's kube-apiserver shows itself to aggregated servers.
front_proxy := env("WORKFLOW_OPERATOR_CLUSTER_STATE", "/var/lib/workflow-operator-cluster") / "pki/front-proxy-client"

# List the recipes
default:
    @{{ just_executable() }} --list --unsorted

# Start the local Kubernetes node, or say that it runs
up:
    @{{ cluster }} up

# Stop the local node and remove everything it left on the host
down:
    @{{ cluster }} down

# Show the local node's processes and the pods that do not run
status:
    @{{ cluster }} status

# Build the binaries and images (PROFILE=dev or release) and load them into the node if it is up
images *names:
    @{{ cluster }} images {{ names }}

# Install CloudNativePG on the local node, for clusters with `postgres.managed`
provider:
    @{{ cluster }} provider

# Install an S3 server on the local node, with TLS, credentials and a bucket `backups`
s3:
    @{{ cluster }} s3

# Install a git server on the local node, over HTTPS with passwords, for tests that fetch and push
git:
    @{{ cluster }} git

# Install Flux's source-controller and kustomize-controller on the local node
flux:
    @{{ cluster }} flux

# Install CloudNativePG and its Barman Cloud plugin on the local node, for backups of managed PostgreSQL clusters to S3
barman:
    @{{ cluster }} barman

# Run kubectl against the local cluster (or KUBE_CONTEXT)
[positional-arguments]
@kubectl *args:
    {{ cluster }} kubectl "$@"

# Install or upgrade the operator's charts on the cluster
install:
    @tests/e2e/install

# Apply the sample: a Postgres for the demo, and the GitOps repository of custom resources
sample: install
    @tests/e2e/sample

# The main job, end to end: cluster, operator, sample, a worker fleet that scales on job lag, an engine that is upgraded under load
demo: sample
    @cargo build --locked --workspace --bin demo
    @WORKFLOW_KUBECONFIG="$({{ cluster }} kubeconfig)" PATH="$({{ cluster }} bin-dir):$PATH" "$CARGO_TARGET_DIR/debug/demo"

# Format the code
fmt:
    cargo fmt --all

# Check formatting and lints of the whole workspace
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Compile everything without producing programs
check:
    cargo check --workspace --all-targets --locked

# Run the tests that need nothing but the compiler; the others say that they are skipped
test:
    cargo test --workspace --locked

# Run all tests but the node's: also those on a real apiserver and on a real PostgreSQL
test-apiserver:
    @{{ cluster }} build
    @{{ cluster }} test-packages
    KUBEBUILDER_ASSETS="$({{ cluster }} bin-dir)" TEST_POSTGRES_ROOTFS="$({{ cluster }} agent-rootfs)" \
      REQUIRE_APISERVER=1 REQUIRE_POSTGRES=1 cargo test --workspace --locked

# Test what the charts and the sample's manifests render, and what a real apiserver makes of it (UPDATE=1 accepts a new rendering)
test-charts:
    @{{ cluster }} build
    @{{ cluster }} test-packages
    ASSETS="$({{ cluster }} bin-dir)" PATH="$({{ cluster }} bin-dir):$PATH" REQUIRE_APISERVER=1 charts/test.sh

# Test what GitOps tools make of our objects, with those tools' own libraries
test-gitops:
    cd tests/gitops && test -z "$(gofmt -l .)" && go vet ./... && go test -count=1 ./...

# Run the end-to-end tests on the node (or KUBE_CONTEXT)
e2e: sample
    REQUIRE_E2E=1 WORKFLOW_KUBECONFIG="$({{ cluster }} kubeconfig)" PATH="$({{ cluster }} bin-dir):$PATH" cargo test --workspace --locked --test node -- --test-threads=1

# What must pass every night beside `ci`, because it takes too long for that
nightly: test-nightly e2e-nightly

# The long tests that need no node: the lease protocol with faults that come together, an hour of busy workers on a fast clock, ten minutes of broken packs and archives
test-nightly:
    FUZZ_SECONDS=600 cargo test --package remote-files --locked --lib -- makes_the_reader_fail
    cargo test --workspace --locked --lib -- --ignored

# The long end-to-end tests on the node (or KUBE_CONTEXT, which then has CloudNativePG, its plugin, S3, a git server and Flux as `./dev barman`, `s3`, `git` and `flux` make them)
e2e-nightly: sample
    @[[ -n ${KUBE_CONTEXT:-} ]] || { {{ cluster }} barman && {{ cluster }} s3 && {{ cluster }} git && {{ cluster }} flux; }
    REQUIRE_E2E=1 WORKFLOW_KUBECONFIG="$({{ cluster }} kubeconfig)" PATH="$({{ cluster }} bin-dir):$PATH" cargo test --workspace --locked --test node -- --test-threads=1 --ignored

# Measure what docs/benchmarks.md tells, on the local node and an otherwise idle machine (three quarters of an hour; builds for release)
bench: bench-processes bench-adapter bench-engine bench-backup bench-upgrade

# 1,000 WorkflowProcesses applied until all are deployed, beside a bare client that makes the same writes
bench-processes *args: bench-build bench-sample
    WORKFLOW_KUBECONFIG="$({{ cluster }} kubeconfig)" "$CARGO_TARGET_DIR/release/bench" processes {{ args }}

# 200 reads/s of the metrics adapter through TLS, beside a bare TLS server
bench-adapter *args: bench-build bench-sample
    FRONT_PROXY_CERTIFICATE={{ front_proxy }}.crt FRONT_PROXY_KEY={{ front_proxy }}.key \
      WORKFLOW_KUBECONFIG="$({{ cluster }} kubeconfig)" "$CARGO_TARGET_DIR/release/bench" adapter {{ args }}

# Job lifecycles of an engine on a PostgreSQL that syncs, beside the same statements by pgbench
bench-engine *args: bench-build
    @{{ cluster }} test-packages
    cargo build --quiet --locked --profile release-engine -p workflow-engine --bin workflow-engine
    REQUIRE_POSTGRES=1 WORKFLOW_ENGINE_BINARY="$CARGO_TARGET_DIR/release-engine/workflow-engine" \
      "$CARGO_TARGET_DIR/release/bench" engine {{ args }}

# Backups and restores beside pg_dump and pg_restore; what jobs notice of a backup and of a snapshot held for minutes (15 minutes)
bench-backup *args: bench-build
    @{{ cluster }} test-packages
    cargo build --quiet --locked --profile release-engine -p workflow-engine --bin workflow-engine
    cargo build --quiet --locked --release -p backup-agent --bin backup-agent
    REQUIRE_POSTGRES=1 WORKFLOW_ENGINE_BINARY="$CARGO_TARGET_DIR/release-engine/workflow-engine" \
      WORKFLOW_BACKUP_AGENT_BINARY="$CARGO_TARGET_DIR/release/backup-agent" "$CARGO_TARGET_DIR/release/bench" backup {{ args }}

# An engine of 3 pods upgraded 1.2.3 -> 1.3.0 under 200 starts/s, beside a plain rolling update of the same pods (3 minutes)
bench-upgrade *args: bench-build bench-sample
    @mkdir -p docs/images
    WORKFLOW_KUBECONFIG="$({{ cluster }} kubeconfig)" PATH="$({{ cluster }} bin-dir):$PATH" "$CARGO_TARGET_DIR/release/bench" upgrade \
      --picture docs/images/upgrade-throughput.svg {{ args }}

[private]
bench-build:
    cargo build --quiet --locked --release -p bench

# The sample with release images: `just sample` goes back to those for development.
[private]
bench-sample:
    PROFILE=release {{ just_executable() }} sample

# Write the CRDs to crds/ and the CRD chart, and the tables in docs/, from the Rust types
gen:
    cargo run --quiet --locked --bin crdgen -- crds
    charts/generate-crds.sh
    cargo run --quiet --locked --bin crdgen -- --docs docs

# Fail when what `gen` writes is not what the Rust types say
gen-check:
    #!/usr/bin/env bash
    set -euo pipefail
    fresh=$(mktemp -d)
    trap 'rm -rf "$fresh"' EXIT
    cp -r docs charts/workflow-crds/templates "$fresh"
    cargo run --locked --bin crdgen -- "$fresh/crds"
    charts/generate-crds.sh "$fresh/templates"
    cargo run --quiet --locked --bin crdgen -- --docs "$fresh/docs"
    drifted=()
    for generated in crds charts/workflow-crds/templates docs; do
      diff -ru "$generated" "$fresh/${generated##*/}" || drifted+=("$generated")
    done
    ((${#drifted[@]} == 0)) || { echo "not what the types say: ${drifted[*]}; run 'just gen' and commit the result" >&2; exit 1; }

# Check licenses, sources and duplicate dependencies
deny:
    @cargo deny --version >/dev/null 2>&1 || { echo "installing cargo-deny ..."; env -u CARGO_TARGET_DIR cargo install --locked --quiet cargo-deny@0.20.2; }
    cargo deny check bans licenses sources

# Compiler output of checkouts that are gone: a new clone at another place per run of CI would fill the disk.
[private]
forget-gone-checkouts:
    #!/usr/bin/env bash
    set -euo pipefail
    shopt -s nullglob
    mkdir -p "$CARGO_TARGET_DIR"
    echo "{{ justfile_directory() }}" >"$CARGO_TARGET_DIR/checkout"
    for note in "$WORKFLOW_OPERATOR_CACHE"/target/*/checkout; do
      [[ -e $(<"$note") ]] || rm -rf "${note%/checkout}"
    done

# Everything that must pass before a merge
ci: forget-gone-checkouts lint gen-check deny test-gitops test-charts test-apiserver e2e
