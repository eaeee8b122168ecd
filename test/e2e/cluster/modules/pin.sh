#!/bin/bash
# Pins what the cluster is built from: writes NAME.mod and NAME.sum. Enters: what to pin. Leaves: files to commit.
#   pin.sh 1.36.3                     Kubernetes: kube/1.36.mod; the versions that are served: go list -m -versions k8s.io/kubernetes
#   pin.sh helm helm.sh/helm/v4/cmd/helm 4.3.1    one of tools/: name, package, version
#   pin.sh coredns                    after a change of coredns/go.mod
set -euo pipefail
cd "$(dirname "$0")"
export GOTOOLCHAIN=local GOWORK=off

# Kubernetes replaces its parts by folders of its own repository; outside of it each is a module v0.MINOR.PATCH.
kubernetes() {
  local version=$1 minor=${1%.*} pins module
  pins=$(go list -m -f '{{.GoMod}}' "k8s.io/kubernetes@v$version")
  cd kube
  {
    echo "module tapline.dev/cluster/kube"
    grep -E '^(go|godebug) ' "$pins"
    echo "require k8s.io/kubernetes v$version"
    echo "replace ("
    for module in $(awk '/=> \.\/staging/ {print $1}' "$pins"); do echo "  $module => $module v0.${version#1.}"; done
    echo ")"
  } >"$minor.mod"
  rm -f "$minor.sum"
  go mod tidy -modfile="$minor.mod"
}

tool() {
  local name=$1 package=$2 version=$3
  cd tools
  printf 'module tapline.dev/cluster/tools\n\ngo 1.26.0\n' >"$name.mod"
  rm -f "$name.sum"
  local path=$package
  until go list -m -modfile="$name.mod" "$path@v$version" >/dev/null 2>&1; do
    [[ $path == */* ]] || { echo "no module holds $package at v$version" >&2; exit 1; }
    path=${path%/*}
  done
  go get -modfile="$name.mod" "$path@v$version"
  shift 3
  for package in "$package" "$@"; do go get -modfile="$name.mod" -tool "$package@v$version"; done
  go mod tidy -modfile="$name.mod"
}

case ${1:-} in
  [0-9]*) kubernetes "$1" ;;
  coredns) cd coredns && go mod tidy ;;
  ?*) tool "$@" ;;
  *) sed -n '2,5p' "$0" ;;
esac
