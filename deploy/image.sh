#!/bin/bash
# Builds the image of deploy/Dockerfile. Enters: the environment, below. Leaves: REGISTRY/tapline:TAG in the builder's storage, or pushed.
#   REGISTRY  localhost            TAG       the version of package.json
#   BASE      Debian 12, from a registry unless named
#   BUILDER   docker if there is one, else buildah; or the whole words of one, with its options
#   PLATFORM  this machine's; linux/amd64,linux/arm64 makes both under one name (the other kind needs qemu, or its own machine)
#   PUSH      1: push it
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^  "version": "\(.*\)",/\1/p' package.json)
image=${REGISTRY:-localhost}/tapline:${TAG:-$version}
read -ra builder <<<"${BUILDER:-$(command -v docker >/dev/null && docker info >/dev/null 2>&1 && echo docker || echo buildah)}"

args=(-f deploy/Dockerfile
  --build-arg "VERSION=$version"
  --build-arg "REVISION=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
  --build-arg "NPM_REGISTRY=$(npm config get registry 2>/dev/null || echo https://registry.npmjs.org/)")
[[ -z ${BASE:-} ]] || args+=(--build-arg "BASE=$BASE")
[[ ! -f /etc/ssl/certs/ca-certificates.crt ]] || args+=(--secret id=authorities,src=/etc/ssl/certs/ca-certificates.crt)

if [[ ${builder[*]} == *buildah* ]]; then
  args+=(--layers --isolation chroot --network host)
  if [[ -n ${PLATFORM:-} ]]; then args+=(--platform "$PLATFORM" --manifest "$image"); else args+=(-t "$image"); fi
  "${builder[@]}" bud "${args[@]}" . >&2
  if [[ -n ${PUSH:-} && -n ${PLATFORM:-} ]]; then "${builder[@]}" manifest push --all "$image" "docker://$image"; fi
  if [[ -n ${PUSH:-} && -z ${PLATFORM:-} ]]; then "${builder[@]}" push "$image" "docker://$image"; fi
else
  args+=(-t "$image")
  [[ -z ${PLATFORM:-} ]] || args+=(--platform "$PLATFORM")
  if [[ -n ${PUSH:-} ]]; then args+=(--push); elif [[ ${PLATFORM:-} != *,* ]]; then args+=(--load); fi
  "${builder[@]}" buildx build "${args[@]}" . >&2
fi
echo "$image"
