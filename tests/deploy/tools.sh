#!/usr/bin/env bash
# Puts what the chart is tested with into a cache folder: Helm, the schemas of three versions of Kubernetes, and with
# --server an API server of the newest of them and its database. All of it comes from Go modules, through the machine's own
# Go settings. Does nothing where they are there already. Prints the folder.
set -euo pipefail

HELM=v3.22.0
KUBERNETES=(v1.30.14 v1.33.13 v1.36.3)
ETCD=v3.6.8
# What the newest of these modules asks for.
GO=1.26.0

newest="${KUBERNETES[-1]}"
. "$(dirname "${BASH_SOURCE[0]}")/../servers/go.sh"

# build MODULE VERSION PACKAGE PROGRAM: a module that replaces some of what it requires by folders of its own repository can
# only be built from another one, which says where they are published.
build() {
  local module=$1 version=$2 package=$3 program=$4 work name
  work=$(mktemp -d)
  cat >"$work/go.mod" <<MOD
module build

go $GO

require $module $version
MOD
  "$go" mod download -json "$module@$version" >"$work/module.json"
  for name in $(sed -n 's/^\s*\(k8s\.io\/[a-z-]*\) => .*/\1/p' "$(sed -n 's/.*"GoMod": "\(.*\)".*/\1/p' "$work/module.json")"); do
    echo "replace $name => $name ${version/#v1./v0.}" >>"$work/go.mod"
  done
  printf '//go:build tools\n\npackage build\n\nimport _ "%s"\n' "$package" >"$work/build.go"
  # Kubernetes' programs tell others their version, which a build has to give them.
  (cd "$work" && "$go" build -mod=mod -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" -o "$cache/$program.new" "$package")
  mv "$cache/$program.new" "$cache/$program"
  rm -r "$work"
}

go=
for tool in "helm-$HELM" $([ "${1:-}" != --server ] || echo "kube-apiserver-$newest etcd-$ETCD"); do
  [ ! -x "$cache/$tool" ] || continue
  go=${go:-$(go_command "$GO")}
  echo "Building $tool (once)" >&2
  case $tool in
    helm-*) build helm.sh/helm/v3 "$HELM" helm.sh/helm/v3/cmd/helm "$tool" ;;
    kube-apiserver-*) build k8s.io/kubernetes "$newest" k8s.io/kubernetes/cmd/kube-apiserver "$tool" ;;
    etcd-*) build go.etcd.io/etcd/server/v3 "$ETCD" go.etcd.io/etcd/server/v3 "$tool" ;;
  esac >&2
done
for version in "${KUBERNETES[@]}"; do
  [ ! -s "$cache/kubernetes-$version.json" ] || continue
  go=${go:-$(go_command "$GO")}
  folder=$(cd "$cache" && "$go" mod download -json "k8s.io/kubernetes@$version" | sed -n 's/^\s*"Dir": "\(.*\)",$/\1/p')
  cp "$folder/api/openapi-spec/swagger.json" "$cache/kubernetes-$version.json.new"
  mv "$cache/kubernetes-$version.json.new" "$cache/kubernetes-$version.json"
done
ln -sfn "helm-$HELM" "$cache/helm"
[ "${1:-}" != --server ] || { ln -sfn "kube-apiserver-$newest" "$cache/kube-apiserver"; ln -sfn "etcd-$ETCD" "$cache/etcd"; }
echo "$cache"
