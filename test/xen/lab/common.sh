# What every step of the lab knows: where things are kept, and how to make a thing once. Sourced by bash.
set -euo pipefail

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$lab/../../.." && pwd)
cache=${PCIBACK_XEN_CACHE:-${TMPDIR:-/tmp}/pciback-xen}
unpacked=$cache/unpacked
images=$cache/images
mkdir -p "$cache" "$unpacked" "$images"

say() { printf -- '-- %s\n' "$*" >&2; }
die() {
  printf 'test/xen: %s\n' "$*" >&2
  exit 1
}

# Of all that is given, a name that changes with it: files by content, other words by themselves.
fingerprint() {
  local thing
  for thing in "$@"; do
    if [ -f "$thing" ]; then sha256sum <"$thing"; else printf '%s\n' "$thing"; fi
  done | sha256sum | cut -c1-16
}

# once KEY COMMAND: runs the command unless it has already succeeded for this key.
once() {
  local key=$1 command=$2 stamp=$cache/$2.made-from
  [ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && return
  say "${command//_/ }"
  rm -f "$stamp"
  "$command"
  printf '%s\n' "$key" >"$stamp"
}
