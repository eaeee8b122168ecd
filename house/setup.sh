#!/bin/bash
# Sets up this checkout. `setup.sh run`: what `bin/tapline` needs; `check`, `test`, `bench`: what that make target needs.
# Every step first looks whether it is done, so a second run costs a fraction of a second.
set -euo pipefail
cd "$(dirname "$0")/.."
need=${1:-run}

say() { echo "set-up: $*" >&2; }
stop() {
  say "$1"
  say "remedy: $2"
  exit 1
}

mkdir -p build
exec 9>build/setup.lock
flock -n 9 || { say "waiting for another set-up of this checkout"; flock 9; }

debian_packages() {
  local wanted missing=() name
  wanted=$(awk -v need="$need" '/^[^#]/ && ($2 == "run" || index("," $2 ",", "," need ",")) {print $1}' house/packages.txt)
  if ! command -v dpkg-query >/dev/null; then
    say "this is not Debian; it needs by other names: ${wanted//$'\n'/ }"
    return
  fi
  for name in $wanted; do
    [[ $(dpkg-query -W -f '${Status}' "$name" 2>/dev/null) == "install ok installed" ]] || missing+=("$name")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  local install="apt-get install -y --no-install-recommends ${missing[*]}"
  [[ $(id -u) -eq 0 ]] || stop "missing Debian packages: ${missing[*]}" "sudo apt-get update && sudo $install"
  say "installing ${missing[*]}"
  # tshark asks a question (may users capture?); noninteractive takes its default, no.
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -q && $install -q; } >build/apt.log 2>&1 || {
    tail -n 20 build/apt.log >&2
    stop "apt-get failed (whole log: build/apt.log)" "apt-get update && $install"
  }
}

node_runs() { node_modules/.bin/node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 24 ? 0 : 1)' 2>/dev/null; }

# Node 24 itself is one of the packages, so the machine's own Node (18 or later) only has to run npm.
npm_packages() {
  local stamp=node_modules/.installed-from lock
  lock=$(sha256sum <package-lock.json)
  if [[ $(cat $stamp 2>/dev/null) == "$lock" ]] && node_runs; then return 0; fi
  command -v npm >/dev/null || stop "npm is missing" "apt-get install -y --no-install-recommends npm"
  say "npm ci"
  npm ci --no-audit --no-fund --loglevel=error >build/npm.log 2>&1 || {
    head -n 12 build/npm.log >&2
    stop "npm ci failed (whole log: build/npm.log)" "see above; EUSAGE: npm install and commit the lock file; network: npm ping"
  }
  node_runs || stop "Node 24 (npm package \`node\`) does not run after npm ci" \
    "its install script may be blocked: npm rebuild --foreground-scripts node"
  echo "$lock" >$stamp
}

python_packages() {
  local stamp=build/venv/.installed-from wanted
  wanted=$(sha256sum <house/requirements.txt)
  [[ $(cat $stamp 2>/dev/null) != "$wanted" ]] || return 0
  say "Python packages into build/venv"
  { rm -rf build/venv && /usr/bin/python3 -m venv build/venv \
      && build/venv/bin/pip install -q --disable-pip-version-check -r house/requirements.txt; } >build/pip.log 2>&1 || {
    tail -n 20 build/pip.log >&2
    stop "pip failed (whole log: build/pip.log)" "check that the Python package index can be reached"
  }
  echo "$wanted" >$stamp
}

native_build() {
  if [[ ! -f native/build/build.ninja ]]; then
    say "configuring native/"
    cmake -S native -B native/build -G Ninja >build/cmake.log 2>&1 || {
      tail -n 20 build/cmake.log >&2
      stop "cmake failed (whole log: build/cmake.log)" "rm -rf native/build, then again"
    }
  fi
  local addon=native/build/tapline.node
  if [[ ! -f $addon || -n $(find native/src native/bench native/CMakeLists.txt -type f -newer $addon -print -quit) ]]; then say "building native/"; fi
  ninja -C native/build addon wire_sender relay_worker relay_joins >build/ninja.log 2>&1 || {
    grep -E -A 4 'error|FAILED' build/ninja.log | head -n 60 >&2
    stop "the native build failed (whole log: build/ninja.log)" "mend what it names; after a change of machine: rm -rf native/build"
  }
}

debian_packages
npm_packages
[[ $need != test ]] || python_packages
[[ $need == check ]] || native_build
