#!/usr/bin/env bash
# Builds the programs of a Kubernetes node from the Go module proxy, for `npm run cluster` and `npm run chart` where nothing
# can be downloaded ready-made. A quarter of an hour of one core and 5 GB the first time; what is there is kept.
#
#   KUBE_BIN=~/.cache/kubernetes test/cluster/build-kubernetes.sh
set -euo pipefail

version=${KUBERNETES_VERSION:-1.34.4}
destination=${KUBE_BIN:-/usr/local/lib/kubernetes}
programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)
mkdir -p "$destination"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

source=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
# Kubernetes names the modules that it consists of without a version; published, they have its own, as v0.
{
  printf 'module build\ngo 1.24.0\nrequire k8s.io/kubernetes v%s\n' "$version"
  grep -oE '^\s+k8s\.io/[a-z-]+ v0\.0\.0$' "$source/go.mod" | awk -v v="v0.${version#1.}" '!seen[$1]++ {print "replace " $1 " => " $1 " " v}'
} > go.mod
{
  printf '//go:build tools\n\npackage build\n'
  printf 'import _ "k8s.io/kubernetes/cmd/%s"\n' "${programs[@]}"
} > programs.go
# Tests of dependencies name packages that are not needed here, hence -e.
go mod tidy -e > /dev/null 2>&1

minor=${version#1.}
flags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  flags+=" -X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
done
for program in "${programs[@]}"; do
  [ -x "$destination/$program" ] || CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags "$flags" -o "$destination/$program" "k8s.io/kubernetes/cmd/$program"
  echo "$destination/$program"
done
