# What both back-ends are measured by. /run/bench/BACKEND keeps lines "QUANTITY VALUE", one of each for every guest.
bdf=0000:00:03.0
function=/sys/bus/pci/devices/0000:00:00.0
guests=3
reads=1000

keep() { mkdir -p /run/bench && cat >>"/run/bench/$1"; }

# All in the guest `bench`, which has been given the function; what is first in it has loaded nothing yet.
bring_up() {
  local hundredths scanned
  set -- "$1" $(guest_do bench bring-up)
  hundredths=$2 scanned=$3
  [ "$scanned" -gt 0 ]
  printf '%s %d\n' bring-up "${hundredths}0" scanned "$scanned" | keep "$1"
  echo "${hundredths}0 ms, its bus scanned after $scanned ms"
}
waits() {
  local requests waited
  set -- "$1" $(guest_do bench 'bring-up waits')
  requests=$2 waited=$3
  [ "$waited" -gt 0 ]
  printf 'waited %d\n' "$waited" | keep "$1"
  echo "$requests requests, $((waited / 1000)) ms"
}
latency() {
  guest_do bench "config-latency $function/config $reads 0x00 0x04" >/run/latency
  sed 's/^0x00 /fixed /; s/^0x04 /live /' /run/latency |
    awk '{ print $1 "-median", $2; print $1 "-99th", $3 }' | keep "$1"
  awk '{ printf "%s median %d us, 99th percentile %d us\n", $1, $2, $3 }' /run/latency
}

# median BACKEND QUANTITY: of what the guests had.
median() {
  awk -v name="$2" '$1 == name { print $2 }' "/run/bench/$1" | sort -n |
    awk '{ values[NR] = $1 } END { print values[int((NR + 1) / 2)] }'
}
