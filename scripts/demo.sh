#!/usr/bin/env bash
# npm run demo: sets up what is missing, builds, and runs the demonstration.
#
#   npm run demo -- [--no-install] [--vfio]
set -euo pipefail
cd "$(dirname "$0")/.."

set_up=(npm lab)
demo=()
for argument in "$@"; do
  case $argument in
    --no-install) set_up+=(--no-install) ;;
    --vfio) demo+=(--vfio) ;;
    *)
      echo "demo: unknown argument $argument; there are --no-install and --vfio" >&2
      exit 2
      ;;
  esac
done
# `npm run demo --no-install`, without the dashes in between, arrives as npm's own setting.
[ "${npm_config_install-unset}" != '' ] || set_up+=(--no-install)

if ! bash scripts/setup.sh "${set_up[@]}"; then
  echo 'demo: no real QEMU with a Linux guest here (what is missing is listed above): showing the simulator' >&2
  if [ ! -d node_modules/typescript ]; then
    echo 'demo: nothing was shown: not even the npm packages are there' >&2
    exit 1
  fi
  demo=(--simulated)
fi
npm run --silent build
exec node scripts/demo.mjs "${demo[@]}"
