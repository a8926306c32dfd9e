# What the guest does meanwhile, and what comes of it.
bdf=0000:00:03.0
function=/sys/bus/pci/devices/0000:00:00.0

load_begins() {
  guest_do net "dmesg -c >/dev/null; config-watch $function/config >/run/reads 2>&1 & ping -i 0.2 10.0.2.2 >/run/pings & sleep 1"
}
load_ends() { guest_do net 'killall config-watch; killall -INT ping; sleep 1'; }

# reads MOST: fails when a read gave anything but what is there, or more than so many an error. Linux's front-end gives a request up after
# two seconds; an emulated processor may take longer to have another process look after the guest.
reads() { guest_do net 'cat /run/reads' | tee /dev/stderr | grep ' wrong 0' | awk -v most="$1" '{ print } { for (i = 1; i < NF; i++) if ($i == "errors" && $(i + 1) > most) exit 1 }'; }
pings() { guest_do net 'tail -n 2 /run/pings'; }
# nothing_new MOST: the kernel says nothing, but for as many requests that it gave up.
nothing_new() {
  guest_do net dmesg >/run/dmesg || true
  ! grep -v 'pciback not responding' /run/dmesg | grep . || return 1
  echo "$(grep -c 'pciback not responding' /run/dmesg) requests were given up"
  [ "$(grep -c 'pciback not responding' /run/dmesg)" -le "$1" ]
}
