#!/usr/bin/env bash
# Docker for tests, from Debian's own packages, and a base image that no registry is needed for.
#
#   docker.sh start    installs and starts Docker Engine if none runs; makes the base image if there is none
#   docker.sh stop     ends the daemon that `start` started; leaves any other alone
#
# Needs root.
set -euo pipefail

base=python:3.11-slim-bookworm
state="${XDG_CACHE_HOME:-$HOME/.cache}/penstock-tests/docker"
pid_file="$state/daemon.pid"

is_ours() { [ -s "$pid_file" ] && [ "$(cat "/proc/$(cat "$pid_file")/comm" 2>/dev/null)" = dockerd ]; }

install() {
  local packages=()
  command -v dockerd >/dev/null || packages+=(docker.io)
  command -v debootstrap >/dev/null || packages+=(debootstrap)
  command -v docker-registry >/dev/null || packages+=(docker-registry)
  [ "${#packages[@]}" -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    echo "No apt-get here: install Docker Engine and debootstrap with this system's package manager." >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  # The package would start a registry of its own.
  mkdir -p /etc/systemd/system
  [ -e /etc/systemd/system/docker-registry.service ] || ln -s /dev/null /etc/systemd/system/docker-registry.service
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
}

start() {
  install
  mkdir -p "$state"
  if ! docker info >/dev/null 2>&1; then
    setsid dockerd --data-root "$state/data" --pidfile "$state/dockerd.pid" \
      </dev/null >"$state/daemon.log" 2>&1 &
    echo $! >"$pid_file"
    for _ in $(seq 300); do
      docker info >/dev/null 2>&1 && break
      is_ours || break
      sleep 0.2
    done
    docker info >/dev/null || { tail -n 20 "$state/daemon.log" >&2; exit 1; }
  fi
  docker image inspect "$base" >/dev/null 2>&1 || make_base
}

make_base() {
  local root
  root=$(mktemp -d)
  echo "Making $base of Debian's packages (once)" >&2
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" >&2
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  tar --create --one-file-system --directory "$root" . | docker import - "$base" >&2
  rm -r --one-file-system "$root"
}

stop() {
  is_ours || return 0
  kill "$(cat "$pid_file")"
  for _ in $(seq 150); do
    is_ours || break
    sleep 0.2
  done
  rm -f "$pid_file"
}

case "${1:-}" in
  start | stop) "$1" ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
