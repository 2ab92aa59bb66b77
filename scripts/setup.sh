#!/usr/bin/env bash
# Puts in place what the tests and the demo need, on Debian 12 or 13 with Node and root or sudo.
#
#   scripts/setup.sh [--no-install] [npm] [tools] [lab] [docker] [grub] [iommufd]
#
# npm: node_modules as package-lock.json has it. tools: Debian packages with programs that unit tests ask. lab: Debian
# packages, and Linux kernels for x86 and the other machines, unpacked into the user's cache directory and never
# installed. docker: Docker, and the QEMU versions that docker/ describes, as images and unpacked into the same
# directory. grub: disks with Debian and its own GRUB, made by debootstrap and kept there too. iommufd: a kernel with
# iommufd, built from Debian's source and kept there too. Default: all but grub and iommufd.
# It says what is missing before it installs anything; with --no-install it lists that and ends with status 1.
set -euo pipefail
cd "$(dirname "$0")/.."

# systemd-analyze reads the units in examples/, getfacl the access control lists of device nodes.
TOOLS=(systemd acl)
PACKAGES=(
  qemu-system-x86 ovmf busybox-static kmod xz-utils zstd e2fsprogs gcc make debootstrap
)
# What a kernel is built with besides.
BUILD_PACKAGES=(flex bison bc libelf-dev)
# QEMU for the other machines, and the packages that have it: Debian 13 has split qemu-system-misc.
declare -A PROGRAMS=(
  [qemu-system-aarch64]='qemu-system-arm'
  [qemu-system-s390x]='qemu-system-s390x qemu-system-misc'
  [qemu-system-riscv64]='qemu-system-riscv qemu-system-misc'
  [qemu-system-ppc64]='qemu-system-ppc'
)

install=yes
needs=()
for argument in "$@"; do
  case $argument in
    --no-install) install=no ;;
    npm | tools | lab | docker | grub | iommufd) needs+=("$argument") ;;
    *)
      echo "setup: unknown argument $argument" >&2
      exit 2
      ;;
  esac
done
[ ${#needs[@]} -gt 0 ] || needs=(npm tools lab docker)

needs() { [[ " ${needs[*]} " == *" $1 "* ]]; }
say() { echo "setup: $*" >&2; }
is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
has_candidate() { [[ $(LC_ALL=C apt-cache policy "$1" 2>/dev/null) =~ Candidate:\ [^\(] ]]; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif ! command -v sudo >/dev/null; then
    say "cannot run '$*': neither root nor sudo"
    return 1
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# The Debian package of a program, of those that PROGRAMS names the first that this suite has.
package_of() {
  local package
  for package in ${PROGRAMS[$1]}; do
    has_candidate "$package" && break
  done
  echo "$package"
}

# Prints what is missing, one per line: node_modules, kernel, machines, mtty, qemu-versions, grub-disks,
# iommufd, or the name of a Debian package.
find_missing() {
  if needs npm && ! node scripts/check-node-modules.mjs >&2; then echo node_modules; fi
  if needs tools; then
    for package in "${TOOLS[@]}"; do
      is_installed "$package" || echo "$package"
    done
  fi
  if needs lab || needs grub || needs iommufd; then
    for package in "${PACKAGES[@]}"; do
      is_installed "$package" || echo "$package"
    done
  fi
  if needs lab; then
    for program in "${!PROGRAMS[@]}"; do
      command -v "$program" >/dev/null || package_of "$program"
    done | sort -u
    node scripts/kernel.mjs find >/dev/null || echo kernel
    [ -z "$(node scripts/kernel.mjs missing)" ] || echo machines
    node scripts/kernel.mjs find-mtty >/dev/null || echo mtty
  fi
  if needs grub; then
    node scripts/grub-disks.mjs find || echo grub-disks
  fi
  if needs iommufd; then
    for package in "${BUILD_PACKAGES[@]}"; do
      is_installed "$package" || echo "$package"
    done
    node scripts/kernel.mjs find-iommufd >/dev/null || echo iommufd
  fi
  if needs docker; then
    find_docker_packages | sort -u
    command -v docker >/dev/null && node scripts/qemu-versions.mjs find || echo qemu-versions
  fi
}

# Any Docker will do, and with DOCKER_HOST a daemon elsewhere; what is missing comes from Debian.
find_docker_packages() {
  local path=$PATH:/usr/sbin:/sbin
  [ -n "${DOCKER_HOST:-}" ] || PATH=$path command -v dockerd >/dev/null || echo docker.io
  command -v docker >/dev/null || docker_client_package
  PATH=$path command -v debootstrap >/dev/null || echo debootstrap
}

# Debian 13 has the client in a package of its own.
docker_client_package() {
  local VERSION_ID=
  [ ! -r /etc/os-release ] || . /etc/os-release
  if [ "${VERSION_ID:-13}" -ge 13 ]; then echo docker-cli; else echo docker.io; fi
}

update_lists_unless_known() {
  for package in "$@"; do
    has_candidate "$package" && continue
    say "apt-get update ($package is not in the package lists)"
    apt_get update
    return
  done
}

install_packages() {
  update_lists_unless_known "$@"
  apt_get install -y --no-install-recommends "$@" && return
  say 'apt-get update (the package lists may be out of date)'
  apt_get update
  apt_get install -y --no-install-recommends "$@"
}

fetch_kernel() {
  update_lists_unless_known linux-image-amd64
  node scripts/kernel.mjs fetch && return
  say 'apt-get update (the package lists may be out of date)'
  apt_get update
  node scripts/kernel.mjs fetch
}

if ! command -v node >/dev/null; then
  say 'Node is missing; install Node 20.19 or later'
  exit 1
fi
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; then
  say "Node $(node --version) is too old; install Node 20.19 or later"
  exit 1
fi

mapfile -t missing < <(find_missing)
[ ${#missing[@]} -gt 0 ] || exit 0

packages=()
say 'missing here:'
for item in "${missing[@]}"; do
  case $item in
    node_modules) say '  node_modules, by npm ci' ;;
    iommufd) say '  a Linux kernel with iommufd, built from linux-source-6.12: some minutes' ;;
    mtty) say '  the sample driver of mediated devices, built for that kernel from Debian'\''s source' ;;
    kernel) say "  a Linux kernel for test machines: linux-image-amd64's, unpacked into $(node scripts/kernel.mjs where)" ;;
    qemu-versions) say "  QEMU 5.2, 7.2, 10.0 and 11.1: images built from docker/, unpacked into $(node scripts/qemu-versions.mjs where)" ;;
    grub-disks) say "  two disks with Debian and its own GRUB, made by debootstrap as root in $(node scripts/grub-disks.mjs where)" ;;
    machines) say "  Linux kernels for other machines ($(node scripts/kernel.mjs missing | xargs)), unpacked beside it" ;;
    *)
      say "  the Debian package $item, by apt-get install"
      packages+=("$item")
      ;;
  esac
done
if [ "$install" = no ]; then
  say 'nothing was installed (--no-install)'
  exit 1
fi

status=0
if [ ${#packages[@]} -gt 0 ]; then
  say "installing ${packages[*]}"
  install_packages "${packages[@]}" >&2 || status=1
fi
for item in "${missing[@]}"; do
  case $item in
    node_modules)
      say 'installing node_modules'
      npm ci --no-audit --no-fund >&2 || status=1
      ;;
    kernel)
      say 'fetching the kernel'
      fetch_kernel >&2 || status=1
      ;;
    qemu-versions)
      say 'building and unpacking QEMU 5.2, 7.2, 10.0 and 11.1'
      node scripts/qemu-versions.mjs make >&2 || status=1
      ;;
    grub-disks)
      say 'making the disks with GRUB; this takes some minutes'
      node scripts/grub-disks.mjs make >&2 || status=1
      ;;
    mtty)
      say 'building the sample driver of mediated devices'
      node scripts/kernel.mjs build-mtty >&2 || status=1
      ;;
    iommufd)
      say 'building a kernel with iommufd; this takes some minutes'
      update_lists_unless_known linux-source-6.12
      node scripts/kernel.mjs build-iommufd >&2 || status=1
      ;;
    machines)
      say 'fetching the kernels of the other machines'
      node scripts/kernel.mjs fetch-missing >&2 || status=1
      ;;
  esac
done
exit $status
