# What the guest does meanwhile, and what comes of it.
bdf=0000:00:03.0
function=/sys/bus/pci/devices/0000:00:00.0

load_begins() {
  guest_do net "dmesg -c >/dev/null; config-watch $function/config >/run/reads 2>&1 & ping -i 0.2 10.0.2.2 >/run/pings & sleep 2"
}
load_ends() { guest_do net 'sleep 2; killall config-watch; killall -INT ping; sleep 1'; }

# Linux's front-end gives a request up after two seconds. None should be, and it takes half a second at most to go on with the guest. But
# an emulated processor that is shared with others may stand still for as long, so that one or two are only told.
most=2
reads() {
  guest_do net 'cat /run/reads' | tee /dev/stderr | awk -v most="$most" '
    $1 == "reads" && $3 == "errors" && $5 == "wrong" { print; held = $4 <= most && $6 == 0 }
    END { exit !held }
  '
}
pings() { guest_do net 'tail -n 2 /run/pings' | grep -A 1 ' 0% packet loss'; }
nothing_new() {
  local given_up
  guest_do net dmesg >/run/dmesg || true
  ! grep -v 'pciback not responding' /run/dmesg | grep . || return 1
  given_up=$(grep -c 'pciback not responding' /run/dmesg || true)
  if [ "$given_up" -eq 0 ]; then echo 'nothing'; else echo "$given_up requests were given up; target 0 missed"; fi
  [ "$given_up" -le "$most" ]
}

load_has_ended() {
  fact 'the load ends' load_ends
  fact 'its reads of configuration space: no wrong value' reads
  fact 'its pings meanwhile' pings
  fact "what the guest's kernel says of it" nothing_new
}
