#!/usr/bin/env bash
# Puts the base images of the Dockerfiles here into Docker's store, under the names they have in the
# registry: pulled where the registry answers, made from Debian's packages where it does not.
#
#   docker/base-images.sh [SUITE...]        default: bullseye bookworm trixie
#
# Making one takes half a minute and needs root or sudo, debootstrap and a Debian mirror: $DEBIAN_MIRROR, by
# default the one that this machine's own packages come from.
set -euo pipefail

[ $# -gt 0 ] || set -- bullseye bookworm trixie

say() { echo "base-images: $*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

own_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Component: main' 'Created-By: Packages' |
    head -n 1
}

# A registry that cannot be reached may also just not answer.
pull() { timeout 60 docker pull -q "$1" >/dev/null 2>&1; }

make_image() {
  local suite=$1 image=$2 root
  root=$(mktemp -d "${TMPDIR:-/var/tmp}/qmplug-base-XXXXXX")
  # shellcheck disable=SC2064 # the directory of now, not of then
  trap "as_root rm -rf '$root'" RETURN EXIT
  as_root debootstrap --variant=minbase "$suite" "$root/tree" "$mirror" >"$root/log" 2>&1 || {
    tail -20 "$root/log" >&2
    say "debootstrap could not make $suite from $mirror"
    return 1
  }
  echo "deb ${mirror%/}-security $suite-security main" |
    as_root tee "$root/tree/etc/apt/sources.list.d/security.list" >/dev/null
  as_root tar -C "$root/tree" --exclude='./var/cache/apt/archives/*.deb' \
    --exclude='./var/lib/apt/lists/*_*' -c . |
    docker import --change 'CMD ["bash"]' - "$image" >/dev/null
}

mirror=${DEBIAN_MIRROR:-$(own_mirror)}
for suite in "$@"; do
  image=debian:$suite-slim
  if docker image inspect "$image" >/dev/null 2>&1; then
    continue
  elif pull "$image"; then
    say "pulled $image"
  else
    say "making $image with debootstrap (the registry gave none)"
    make_image "$suite" "$image"
  fi
done
