# What the guest does meanwhile, and what comes of it.
bdf=0000:00:03.0
function=/sys/bus/pci/devices/0000:00:00.0

load_begins() {
  guest_do net "dmesg -c >/dev/null; config-watch $function/config >/run/reads 2>&1 & ping -i 0.2 10.0.2.2 >/run/pings & sleep 1"
}
load_ends() { guest_do net 'killall config-watch; killall -INT ping; sleep 1'; }

# Fails when a read gave an error or anything but what is there.
reads() { guest_do net 'cat /run/reads' | tee /dev/stderr | grep 'errors 0 wrong 0'; }
pings() { guest_do net 'tail -n 2 /run/pings'; }
nothing_new() { ! guest_do net dmesg | grep .; }
