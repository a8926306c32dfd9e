# How a scenario tells what holds and what was seen. The host reads the file `story` while it is written, line by line:
#   up SEEN | part NAME | try WHAT | ok SECONDS WHAT SEEN | failed SECONDS WHAT SEEN WHY | end
# Tabs separate the fields, and the character 0x1F the lines of what was seen.
. /lab/settings
logs=/lab/logs

story() {
  local IFS="$(printf '\t')"
  printf '%s\n' "$*" >>/lab/story
}

one_field() { tr '\t\n' ' \037'; }

# Hundredths of a second since the machine started; the first second is over before anybody asks.
now() {
  local up idle
  read -r up idle </proc/uptime
  echo "${up%.*}${up#*.}"
}

since() {
  local passed=$(($(now) - $1))
  printf '%d.%02d' $((passed / 100)) $((passed % 100))
}

# fact WHAT COMMAND...: it holds when the command succeeds, with `set -e`; what the command prints is what was seen.
# The commands behind it and their complaints are kept in logs/PART.log.
fact() {
  local what=$1 began seen status why
  shift
  began=$(now)
  story try "$what"
  seen=$(set -e; exec 2>/run/complaints; "$@")
  status=$?
  { printf '\n== %s: status %d\n%s\n' "$what" "$status" "$seen"; cat /run/complaints; } >>"$logs/$part.log"
  seen=$(printf '%s' "$seen" | one_field)
  if [ "$status" -eq 0 ]; then
    story ok "$(since "$began")" "$what" "$seen"
  else
    why=$(tail -n 3 /run/complaints | one_field)
    story failed "$(since "$began")" "$what" "$seen" "status $status${why:+: $why}"
  fi
  return "$status"
}

# need WHAT COMMAND...: a fact without which the rest of the part makes no sense.
need() { fact "$@" || exit 1; }

. /lab/dom0/guests.sh
. /lab/dom0/functions.sh
. /lab/dom0/daemon.sh
