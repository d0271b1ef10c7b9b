#!/bin/bash
# Installs the operator and a QuoteNode with data, makes one backup, opens the bundle with plain tools and compares it
# with the live data. It needs a cluster that has the two images, which `make demo` provides. It can be run again.
set -euo pipefail
cd "$(dirname "$0")"

release=quotenode-backup-operator
namespace=${1:-quotenode}
backup=demo-$(date -u +%H%M%S)

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
k() { kubectl --namespace "$namespace" "$@"; }

install_operator() {
    kubectl create namespace "$namespace" --dry-run=client --output=yaml | kubectl apply --filename=-
    helm upgrade --install "$release" "../helm/$release" --namespace quotenode-system --create-namespace \
        --set "watch.namespaces={$namespace}" --set image.tag=dev --wait --timeout 180s
}

start_quotenode() {
    k apply --filename=quotenode/
    k rollout status --timeout=300s statefulset/quotenode-db deployment/backend deployment/backup-worker
}

offers_per_second() { # through the API server's proxy, so that no port has to be forwarded or exposed
    echo "{\"writesPerSecond\": $1}" |
        kubectl replace --raw "/api/v1/namespaces/$namespace/services/backend:http/proxy/writer" --filename=- > /dev/null
}

start_backup() {
    sed "s/^  name: first$/  name: $backup/" 01-backup.yaml | k apply --filename=-
}

watch_backup() {
    kubectl --namespace "$namespace" get quotenodebackup "$backup" --watch &
    watching=$!
    trap 'kill "$watching"' EXIT
    until [[ $(k get quotenodebackup "$backup" --output=jsonpath='{.status.phase}') =~ Completed|Failed ]]; do
        sleep 0.5
    done
    sleep 0.5 # for the last line of the watch
    trap - EXIT
    kill "$watching"
    wait "$watching" || true
    k get quotenodebackup "$backup" --output=jsonpath='{.status}' | python3 -m json.tool
    k wait quotenodebackup "$backup" --for=condition=Complete --timeout=1s > /dev/null
}

open_bundle() {
    k delete pod verify --ignore-not-found > /dev/null
    k create configmap verify --from-file=verify/verify.sh --dry-run=client --output=yaml | k apply --filename=- > /dev/null
    k set env --local --filename=verify/pod.yaml --output=yaml \
        "CHECKSUM=$(k get quotenodebackup "$backup" --output=jsonpath='{.status.checksum}')" | k apply --filename=-
    k wait pod/verify --for=jsonpath='{.status.phase}'=Running --timeout=60s > /dev/null || true
    k logs --follow verify
    k wait pod/verify --for=jsonpath='{.status.phase}'=Succeeded --timeout=10s > /dev/null
}

step "The operator"
install_operator

step "QuoteNode in namespace $namespace: a database, files, backend and backup-worker"
start_quotenode

step "People write offers, each with its PDF; then they stop, so that the bundle can be compared with the live data"
offers_per_second 20
sleep 3
offers_per_second 0

step "A backup"
start_backup
watch_backup

step "The bundle in a plain Debian"
open_bundle

step "Done. Look around: kubectl get qnb --namespace $namespace"
