#!/usr/bin/env bash
# A Docker daemon for building and running the images of docker/.
#
#   scripts/docker.sh host     prints the DOCKER_HOST to use
#   scripts/docker.sh start    the same; the daemon there answers when this returns
#   scripts/docker.sh stop     ends the daemon that `start` has started, and no other
#
# A daemon that answers already is used as it is: the one of $DOCKER_HOST, or the machine's own. Where
# there is none, `start` runs dockerd as root with a socket and a store of its own, and without a bridge or
# any firewall rule: containers have the host's network or none.
set -euo pipefail

RUNTIME=/run/qmplug-docker
STORE=${XDG_CACHE_HOME:-$HOME/.cache}/qmplug/docker
OWN=unix://$RUNTIME/docker.sock
MACHINES=unix:///var/run/docker.sock
DEADLINE_S=60
PATH=$PATH:/usr/sbin:/sbin

say() { echo "docker: $*" >&2; }
answers() { DOCKER_HOST=$1 timeout 10 docker version >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

host() {
  if [ -n "${DOCKER_HOST:-}" ]; then
    echo "$DOCKER_HOST"
  elif answers "$MACHINES"; then
    echo "$MACHINES"
  else
    echo "$OWN"
  fi
}

# Prints the pid of our daemon, if that process still is one.
own_pid() {
  local pid
  pid=$(cat "$RUNTIME/docker.pid" 2>/dev/null) || return 1
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] && echo "$pid"
}

launch() {
  command -v dockerd >/dev/null || {
    say 'no dockerd (package docker.io); run scripts/setup.sh docker'
    return 1
  }
  as_root mkdir -p "$RUNTIME" "$STORE"
  # Of a daemon that was killed.
  own_pid >/dev/null || as_root rm -f "$RUNTIME/docker.pid"
  # Whoever reads our output must not wait for the daemon's end.
  # shellcheck disable=SC2016 # expanded by the inner shell
  as_root sh -c 'exec setsid dockerd "$@" >'"$RUNTIME/dockerd.log"' 2>&1' dockerd \
    --host "$OWN" --group "$(id -g)" --data-root "$STORE" \
    --exec-root "$RUNTIME/exec" --pidfile "$RUNTIME/docker.pid" \
    --bridge none --iptables=false --ip6tables=false </dev/null >/dev/null 2>&1 &
}

start() {
  local host daemon
  host=$(host)
  if ! answers "$host"; then
    if [ "$host" != "$OWN" ]; then
      say "no daemon answers at DOCKER_HOST=$host"
      return 1
    fi
    say "starting dockerd (log: $RUNTIME/dockerd.log, store: $STORE)"
    launch
    daemon=$!
    for ((tick = 0; tick < DEADLINE_S * 5; tick++)); do
      answers "$host" && break
      # It gives up at once where another start was quicker; then that one's daemon answers.
      kill -0 "$daemon" 2>/dev/null || own_pid >/dev/null || break
      sleep 0.2
    done
    if ! answers "$host"; then
      as_root tail -5 "$RUNTIME/dockerd.log" >&2 || true
      say "dockerd does not answer at $host; its log is $RUNTIME/dockerd.log"
      return 1
    fi
  fi
  echo "$host"
}

stop() {
  local pid
  pid=$(own_pid) || return 0
  as_root kill -TERM "$pid"
  for ((tick = 0; tick < DEADLINE_S * 5; tick++)); do
    own_pid >/dev/null || return 0
    sleep 0.2
  done
  say "dockerd ($pid) does not end; its log is $RUNTIME/dockerd.log"
  return 1
}

case ${1:-} in
  host | start | stop) "$1" ;;
  *)
    echo 'usage: scripts/docker.sh host|start|stop' >&2
    exit 2
    ;;
esac
