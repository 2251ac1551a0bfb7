#!/usr/bin/env bash
#     tools/setup.sh [tests|bench|programs]
#
# Makes .venv from the hash-pinned requirements and installs the sandbox's Debian packages where it may; with `tests`
# also those of the container engines, registries and images that the tests attack and serve, with `bench` the Redis of
# two of the peers, with `programs` the compiler of the Solana programs. Idempotent; returns at once when nothing it
# depends on changed. Names no package index: uv's and pip's own configuration decide where packages come from.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# --- what the machine lacks -------------------------------------------------------------------------------------
as_root() { # runs a command as root, or says by its status that it may not
  if [ "$(id -u)" = 0 ]; then "$@"; elif sudo -n true 2>/dev/null; then sudo -n "$@"; else return 126; fi
}
install_debian() {
  command -v apt-get >/dev/null || return 127
  # Stale package lists are common on fresh machines: try as is, refresh once, try again.
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && return
  as_root apt-get update -qq >/dev/null 2>&1 || return
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}
sandbox_packages_missing() {
  command -v bwrap >/dev/null || printf 'bubblewrap '
  ldconfig_bin=$(command -v ldconfig || echo /sbin/ldconfig)
  "$ldconfig_bin" -p 2>/dev/null | grep -q 'libseccomp\.so\.2' || printf 'libseccomp2 '
  [ -x "$(PATH=$PATH:/usr/sbin:/sbin command -v mkfs.ext4)" ] || printf 'e2fsprogs '
  command -v mount >/dev/null || printf 'mount '
}
ensure_sandbox() { # a machine without them still works, all but its node; so this never fails the setup
  local missing
  missing=$(sandbox_packages_missing)
  [ -z "$missing" ] && return 0
  # shellcheck disable=SC2086  # a list of words is meant
  install_debian $missing || true
  missing=$(sandbox_packages_missing)
  [ -z "$missing" ] || say "to run nodes, install as root: apt-get install $missing"
}

# --- what the tests need beside it ------------------------------------------------------------------------------
test_packages_missing() { # by command, so that a Docker from elsewhere is taken as it is
  local wanted command
  for wanted in dockerd:docker.io runc:runc runsc:runsc podman:podman conmon:conmon catatonit:catatonit \
      skopeo:skopeo umoci:umoci docker-registry:docker-registry mmdebstrap:mmdebstrap newuidmap:uidmap ip:iproute2; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${wanted%%:*}" >/dev/null || printf '%s ' "${wanted##*:}"
  done
  [ -x /usr/lib/podman/netavark ] || [ -x /usr/libexec/podman/netavark ] || printf 'netavark '
  # Images are made of it, and hold none of the libraries that a dynamic one wants.
  command=$(command -v busybox) && ! ldd "$command" >/dev/null 2>&1 || printf 'busybox-static '
}
unwanted_services() { # those that a package brings: tests start engines of their own, on sockets of their own
  local package
  for package in "$@"; do
    case $package in
      docker.io) echo docker.service docker.socket containerd.service ;;
      podman) echo podman.service podman.socket podman-auto-update.timer podman-restart.service ;;
      docker-registry) echo docker-registry.service ;;
      redis-server) echo redis-server.service ;;
    esac
  done
}
install_without_services() { # what a package brings up by itself stays down
  local policy=/usr/sbin/policy-rc.d ours='' package
  # Debian's way to have packages start nothing; a machine that has one already has decided for itself.
  if [ ! -e "$policy" ] && printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null 2>&1; then
    ours=yes
    as_root chmod 755 "$policy"
  fi
  install_debian "$@" || for package in "$@"; do install_debian "$package" || true; done
  [ -z "$ours" ] || as_root rm -f "$policy"
  if [ -d /run/systemd/system ]; then
    # shellcheck disable=SC2046
    as_root systemctl disable --quiet $(unwanted_services "$@") >/dev/null 2>&1 || true
  fi
}
ensure_tests() { # never fails the setup: the tests say what they miss
  local missing
  missing=$(test_packages_missing)
  [ -z "$missing" ] && return 0
  say "installing what the tests attack: $missing"
  # shellcheck disable=SC2086  # a list of words is meant
  install_without_services $missing
  missing=$(test_packages_missing)
  [ -z "$missing" ] || say "to run every test, install as root: apt-get install $missing"
}

# --- what the bench needs beside it -----------------------------------------------------------------------------
ensure_bench() { # never fails the setup: the bench says what it misses
  command -v redis-server >/dev/null && return 0
  say "installing the Redis that Celery and Dramatiq are measured with"
  install_without_services redis-server
  command -v redis-server >/dev/null || say "to measure every peer, install as root: apt-get install redis-server"
}

# --- the standard clients that the local chain is tested with -----------------------------------------------------
ensure_clients() { # never fails the setup: the tests say what they miss
  local folder=tests/clients want
  want=$(cat $folder/python/requirements.txt $folder/typescript/package-lock.json | sha256sum | cut -d' ' -f1)
  [ "$(cat $folder/.installed 2>/dev/null)" != "$want" ] || return 0
  rm -f $folder/.installed
  say "installing the clients that the local chain is tested with"
  .venv/bin/uv venv --quiet --clear --python .venv/bin/python $folder/python/.venv \
    && .venv/bin/uv pip sync --quiet --python $folder/python/.venv/bin/python --require-hashes \
      $folder/python/requirements.txt \
    && (cd $folder/typescript && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) \
    && echo "$want" >$folder/.installed \
    || say "to run every test, have node 20 or newer with npm, and the package registries in reach"
}

# --- what compiles the Solana programs ---------------------------------------------------------------------------
ensure_compiler() { # never fails the setup: the build says what it misses
  [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] && [ -d /usr/lib/rustlib/src/rust/library ] && return 0
  say "installing the compiler of the Solana programs"
  install_debian rustc-web cargo-web rust-web-src \
    || say "to build the programs, install as root: apt-get install rustc-web cargo-web rust-web-src"
}

# --- is there anything to do ------------------------------------------------------------------------------------
stamp=.venv/.hypernode-setup
# The folder is part of it: a moved clone has an editable install that points elsewhere.
want=$({ cat requirements/dev.txt requirements/uv.txt pyproject.toml tools/setup.sh; pwd; } | sha256sum | cut -d' ' -f1)
ensure_sandbox
case ${1:-} in tests) ensure_tests ;; bench) ensure_bench ;; programs) ensure_compiler ;; esac
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && .venv/bin/python -c '' 2>/dev/null; then
  [ "${1:-}" != tests ] || ensure_clients
  exit 0
fi

# --- Python and uv ----------------------------------------------------------------------------------------------
python=
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$(command -v "$candidate")
    break
  fi
done
[ -n "$python" ] || die "Python 3.11 or newer is needed; install it (apt-get install python3) or set PYTHON"

find_uv() {
  # The version is asked for because a shim may be on PATH with nothing behind it.
  for candidate in uv .venv-bootstrap/bin/uv; do
    if "$candidate" --version >/dev/null 2>&1; then command -v "$candidate"; return; fi
  done
  return 1
}
if ! uv=$(find_uv); then
  say "bootstrapping uv"
  rm -rf .venv-bootstrap
  if ! "$python" -m venv .venv-bootstrap >/dev/null 2>&1; then
    # Debian ships Python without ensurepip; its package carries the interpreter's own version.
    package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    rm -rf .venv-bootstrap
    install_debian "$package" && "$python" -m venv .venv-bootstrap || die "install as root: apt-get install $package"
  fi
  .venv-bootstrap/bin/python -m pip install -qq --disable-pip-version-check \
    --require-hashes -r requirements/uv.txt || die "could not install uv"
  uv=$PWD/.venv-bootstrap/bin/uv
fi

# --- the environment --------------------------------------------------------------------------------------------
[ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null || "$uv" venv --quiet --clear --python "$python" .venv
rm -f "$stamp"
"$uv" pip sync --quiet --python .venv/bin/python --require-hashes requirements/dev.txt
# No build isolation: hatchling and editables come pinned from dev.txt rather than unpinned from an index.
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
echo "$want" >"$stamp"
[ "${1:-}" != tests ] || ensure_clients
say "ready: .venv with $(.venv/bin/python --version)"
