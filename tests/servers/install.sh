#!/usr/bin/env bash
# Installs the servers the tests start and the browser they use, from Debian's own packages. Does nothing where they are
# there already.
set -euo pipefail

packages=()
if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && ! command -v initdb >/dev/null; then
  packages+=(postgresql)
fi
command -v chromium >/dev/null || packages+=(chromium fonts-dejavu-core)
[ "${#packages[@]}" -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null; then
  echo "No apt-get here: install a PostgreSQL server (15 or newer) and Chromium with this system's package manager." >&2
  exit 1
fi
run=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "Installing packages needs root: run 'make test-servers' as root." >&2; exit 1; }
  run=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
# The tests start servers of their own; the one the package would set up and start is not wanted.
"${run[@]}" mkdir -p /etc/postgresql-common/createcluster.d
echo "create_main_cluster = false" | "${run[@]}" tee /etc/postgresql-common/createcluster.d/penstock-tests.conf >/dev/null
"${run[@]}" apt-get update -qq
"${run[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
