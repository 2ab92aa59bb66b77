#!/usr/bin/env bash
# npm test: sets up what is missing and runs every tier that this machine can run.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v node >/dev/null; then
  echo 'npm test: Node is missing; install Node 20.19 or later' >&2
  exit 1
fi
exec node scripts/test.mjs "$@"
