# Guests: Linux PV domains with a shell on their console (guest/init), made by the stock xl.

# guest_create NAME [LINE...]: starts it, with these lines of an xl.cfg before the usual ones, and waits for its shell.
guest_create() {
  local name=$1 line
  shift
  mkdir -p /run/guests
  {
    for line; do echo "$line"; done
    cat <<END
name = "$name"
type = "pv"
kernel = "/guest/vmlinux"
ramdisk = "$(guest_initramfs)"
extra = "console=hvc0 nokaslr tsc=unstable"
memory = 256
vcpus = 1
e820_host = 1
passthrough = "enabled"
END
  } >"/run/guests/$name.cfg"
  # xl leaves a process behind that waits for the guest's end and holds what it inherited open.
  xl create "/run/guests/$name.cfg" >"$logs/xl-create-$name.log" 2>&1 </dev/null || {
    cat "$logs/xl-create-$name.log" >&2
    return 1
  }
  guest_await "$name"
}

# guest_await NAME: its shell.
guest_await() {
  local printed
  guest_tty "$1" >"/run/guests/$1.tty" || return 1
  printed=$(guest_until "$1" '@ready') || return 1
  printf '%s\n' "$printed" | tail -n 1
}

# What the scenario keeps in its folder guest/ lies in the root of every guest, too.
guest_initramfs() {
  if [ -e /lab/guest-files.cpio ] && [ ! -e /run/guests/initramfs ]; then
    cat /guest/initramfs /lab/guest-files.cpio >/run/guests/initramfs
  fi
  if [ -e /run/guests/initramfs ]; then echo /run/guests/initramfs; else echo /guest/initramfs; fi
}

# xenconsoled makes the terminal when it hears of the domain; until then the toolstack's node is empty.
guest_tty() {
  local path tries=30
  path=/local/domain/$(xl domid "$1")/console/tty
  # The first event comes with the watch itself, the second with the name.
  until xenstore-read "$path" 2>/dev/null | grep .; do
    [ $((tries -= 1)) -gt 0 ] || return 1
    timeout 1 xenstore-watch -n 2 "$path" >/dev/null || true
  done
}

# guest_until NAME MARK: what the guest's console prints until a line that begins with the mark; the rest of that line comes last.
guest_until() {
  timeout "${limit:-120}" awk -v mark="$2 " '
    index($0, mark) == 1 { rest = substr($0, length(mark) + 1); exit }
    NR > 1 { print line }
    { line = $0 }
    # The empty line that goes before a mark is part of it.
    END { if (line != "") print line; print rest; exit rest == "" }
  ' <"$(cat "/run/guests/$1.tty")"
}

# guest_do NAME COMMAND: one line for the guest's shell; prints what it prints and has its exit status. At most $limit seconds.
guest_do() {
  local name=$1 command=$2 number output status
  number=$(now)
  printf '%s %s\n' "$number" "$command" >"$(cat "/run/guests/$name.tty")"
  output=$(guest_until "$name" "@$number") || {
    printf '%s: no answer to: %s\n%s\n' "$name" "$command" "$output" >&2
    return 124
  }
  status=$(printf '%s' "$output" | tail -n 1)
  printf '%s' "$output" | sed '$d'
  return "$status"
}

# guest_ping NAME: packets through eth0 to QEMU's gateway and back, which take DMA and interrupts; prints the statistics.
guest_ping() {
  local up='tries=100; until [ "$(cat /sys/class/net/eth0/carrier)" = 1 ] || [ $((tries -= 1)) = 0 ]; do usleep 50000; done'
  guest_do "$1" "ifconfig eth0 10.0.2.15 && $up; ping -c 3 -i 0.3 10.0.2.2" | tail -n 2 | grep -A 1 ' 0% packet loss'
}

# guest_reads NAME DRIVE DEVICE MODULE...: the guest loads the modules and reads what the lab has written to the drive (disks.mjs).
guest_reads() {
  local name=$1 drive=$2 device=$3
  shift 3
  guest_do "$name" "modprobe -a $* && tries=200; until [ -e /dev/$device ] || [ \$((tries -= 1)) = 0 ]; do usleep 50000; done; head -n 1 /dev/$device" |
    grep "the $drive of the lab"
}

# Keeps what its kernel had to say.
guest_destroy() {
  limit=20 guest_do "$1" dmesg >"$logs/dmesg-$1.log" || true
  xl destroy "$1"
}

# As an administrator does it; the guest takes part.
guest_shutdown() { xl shutdown --wait "$1"; }

# guest_reboot NAME: xl makes a new domain of the same name.
guest_reboot() {
  local before tries=60
  before=$(xl domid "$1")
  xl reboot "$1"
  until [ "$(xl domid "$1" 2>/dev/null || echo "$before")" != "$before" ]; do
    [ $((tries -= 1)) -gt 0 ] || return 1
    timeout 1 xenstore-watch -n 2 @introduceDomain >/dev/null || true
  done
  guest_await "$1"
}
