# What both back-ends are measured by. /run/bench/BACKEND keeps lines "QUANTITY VALUE", one of each for every guest.
bdf=0000:00:03.0
function=/sys/bus/pci/devices/0000:00:00.0
# In each of a back-end's two turns: an emulated machine that others have a part in gets slower and faster for minutes.
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
  local requests waited handshake
  set -- "$1" $(guest_do bench 'bring-up waits')
  requests=$2 waited=$3 handshake=$4
  [ "$waited" -gt 0 ] && [ "$handshake" -gt 0 ]
  printf '%s %d\n' waited "$waited" handshake "$handshake" | keep "$1"
  echo "$((handshake / 1000)) ms for the handshake, $((waited / 1000)) ms for answers to $requests requests"
}
latency() {
  guest_do bench "config-latency $function/config $reads 0x00 0x04" >/run/latency
  sed 's/^0x00 /fixed /; s/^0x04 /live /' /run/latency |
    awk '{ print $1 "-median", $2; print $1 "-99th", $3 }' | keep "$1"
  awk '{ printf "%s median %d us, 99th percentile %d us\n", $1, $2, $3 }' /run/latency
}

# guests_of BACKEND: boots guests for `boot_for_BACKEND` to give the function to, and measures. What a guest waits for is taken from
# one of its own: it is traced, which takes time.
guests_of() {
  local n
  for n in $(seq "$guests"); do
    "boot_for_$1" "guest $n of $guests"
    fact 'from loading its front-end to its network interface' bring_up "$1"
    fact 'a read of configuration space' latency "$1"
    fact 'it is destroyed' guest_destroy bench
  done
  "boot_for_$1" 'one more guest'
  fact 'what its front-end waits for while it comes up' waits "$1"
  fact 'it is destroyed' guest_destroy bench
}

# The column to compare with. The module is gone afterwards, as if it had never been there.
boot_for_kernel() { need "$1 boots" guest_create bench 'tsc_mode = "native"' "pci = ['$bdf']"; }
seize() {
  modprobe xen-pciback
  xl pci-assignable-add "$bdf"
}
give_back() {
  xl pci-assignable-remove "$bdf"
  rmmod xen-pciback
  ! lsmod | grep xen_pciback
}
turn_of_kernel() {
  need 'xen-pciback seizes the function' seize
  guests_of kernel
  need 'xen-pciback gives the function back and goes' give_back
}

# The same function, guest and measurements, behind pciback.
boot_for_pciback() {
  need "$1 boots" guest_create bench 'tsc_mode = "native"'
  need 'it is given the function' pciback attach "$(xl domid bench)" "$bdf"
}
turn_of_pciback() {
  need 'pciback serves, and has the function' serve --hide "($bdf)"
  # As on any host that has been up for a minute.
  need 'its stand-in is ready' stand_in_is_ready
  guests_of pciback
  need 'pciback gives the function back' pciback unhide "$bdf"
  need 'and ends orderly' end_daemon
}

# median BACKEND QUANTITY: of what the guests had.
median() {
  awk -v name="$2" '$1 == name { print $2 }' "/run/bench/$1" | sort -n |
    awk '{ values[NR] = $1 } END { print int((values[int((NR + 1) / 2)] + values[int(NR / 2) + 1]) / 2) }'
}
