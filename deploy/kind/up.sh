#!/usr/bin/env bash
# A cluster on one's own machine, and the cluster test on it: needs docker, kind, kubectl, Go (for helm) and npm ci.
#
#   deploy/kind/up.sh            make the cluster and run the test
#   deploy/kind/up.sh down       remove it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
name=${KIND_CLUSTER:-symphony}

if [ "${1:-}" = down ]; then exec kind delete cluster --name "$name"; fi

for program in docker kind kubectl go; do
  command -v "$program" > /dev/null || { echo "up.sh: $program is not installed" >&2; exit 1; }
done

kubeconfig=$(mktemp)
trap 'rm -f "$kubeconfig"' EXIT
export KUBECONFIG=$kubeconfig
if kind get clusters | grep -qx "$name"; then kind export kubeconfig --name "$name"; else kind create cluster --name "$name" --config deploy/kind/cluster.yaml --wait 180s; fi

docker build -t symphony/messenger:test .
docker pull postgres:17
kind load docker-image --name "$name" symphony/messenger:test postgres:17
CLUSTER=1 npm run cluster
