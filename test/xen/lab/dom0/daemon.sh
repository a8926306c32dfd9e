# The daemon, and what it tells: events as NDJSON, one log for all daemons of a boot.
events=/run/events.ndjson
doorbell=/run/events.doorbell
[ -p "$doorbell" ] || mkfifo "$doorbell"

start_daemon() {
  mark_events
  {
    pciback serve "$@" 2>>"$logs/daemon.log" </dev/null &
    echo $! >/run/daemon.pid
    wait $!
    echo "daemon $! has ended: status $?" >>"$logs/daemon.log"
  } | record &
}

# serve [OPTION...]: starts it, and waits until it is ready.
serve() {
  start_daemon "$@"
  event '"type":"backend.ready"' '"daemon.ended"' | grep ready || {
    tail -n 3 "$logs/daemon.log" >&2
    return 1
  }
}

# A stand-in goes on writing where the daemon did, so the end of the one is not the end of this. Opened for both directions, a pipe waits
# for no one; nobody makes as many events as it has room for. Whoever started the daemon and reads what that prints shall not have to wait
# for the end of this. The shell would read byte by byte, each a system call, while a guest waits for the same processor.
record() {
  exec >/dev/null 2>&1 4<>"$doorbell"
  awk -v events="$events" -v doorbell="$doorbell" -v kept="$logs/events.ndjson" '
    function tell(file, line) { print line >>file; fflush(file) }
    function record(line) { tell(events, line); tell(doorbell, ""); tell(kept, line) }
    { record($0) }
    END { record("{\"type\":\"daemon.ended\"}") }
  '
}

# Orderly, and with it its stand-in.
end_daemon() {
  mark_events
  kill "$(cat /run/daemon.pid)"
  event '"daemon.ended"' >/dev/null
}

# kill -9. Its stand-in, which has to be ready, is the daemon then, and tells that it has adopted the guests.
kill_daemon() {
  mark_events
  kill -KILL "$(cat /run/daemon.pid)"
  event '"backend.standIn"*"to":"daemon"' | sed 's/.*"pid":\([0-9]*\).*/\1/' >/run/daemon.pid
  event '"guest.adopted"' >/dev/null
}

stand_in_is_ready() { event '"backend.standIn"*"to":"ready"' | grep -o '"pid":[0-9]*'; }

# Only what is told from here on counts.
mark_events() {
  touch "$events"
  wc -c <"$events" >/run/events.mark
}
told() { tail -c "+$(($(cat /run/events.mark) + 1))" "$events" | grep "$@"; }

# event PATTERN...: the first event since the mark that one of these patterns of the shell is found in; it is waited for. It starts no
# process for each look, which would slow down what is waited for.
event() {
  local line pattern mark
  mark=$(cat /run/events.mark)
  exec 3<>"$doorbell" 5<"$events"
  [ "$mark" -eq 0 ] || dd bs="$mark" count=1 <&5 >/dev/null 2>&1
  while :; do
    while read -r line <&5; do
      for pattern; do
        case $line in *$pattern*) printf '%s\n' "$line" && return ;; esac
      done
    done
    read -r -t "${limit:-120}" _ <&3 || {
      printf 'no event came that has %s in it; the last one was:\n' "$*" >&2
      tail -n 1 "$events" >&2
      return 1
    }
  done
}
