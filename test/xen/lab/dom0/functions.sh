# PCI functions, as dom0 and guests see them.

# driver_of BDF: of dom0; nothing when it has none.
driver_of() { basename "$(readlink "/sys/bus/pci/devices/$1/driver")"; }

# hardware BDF REGISTER...: what is really there, whatever a guest believes.
hardware() {
  local bdf=$1
  shift
  setpci -s "$bdf" "$@" | xargs
}

# states GUEST: of both ends, back-end first.
states() {
  local domid
  domid=$(xl domid "$1")
  xenstore-read "/local/domain/0/backend/pci/$domid/0/state" "/local/domain/$domid/device/pci/0/state" | xargs
}

# guest_bus GUEST: what is on the guest's bus, one function a line.
guest_bus() { guest_do "$1" 'cd /sys/bus/pci/devices && for f in *; do [ ! -e $f/vendor ] || echo $f $(cat $f/vendor $f/device); done'; }

# interrupts GUEST NAME KIND: how often each handler of that name was called by interrupts of that kind, as /proc/interrupts has it.
interrupts() {
  guest_do "$1" "grep $2 /proc/interrupts" |
    awk -v kind="$3" '{ $1 = $1; print $NF, $2, "by", $3, $4 } index($0, kind) { sum += $2 } END { exit !sum }'
}
