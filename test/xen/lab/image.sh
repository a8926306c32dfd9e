# How an initial file system is put together in a directory and packed. Sourced by bash after common.sh.

library_path=$unpacked/usr/lib/x86_64-linux-gnu:$unpacked/usr/lib/xen-4.17/lib/x86_64-linux-gnu
kernel_release=$(basename "$unpacked"/lib/modules/*)

# new_image DIRECTORY: empty, with the merged /usr of a Debian system and busybox in every place.
new_image() {
  local image=$1 name
  rm -rf "$image"
  mkdir -p "$image"/{usr/{bin,sbin,lib,lib64},dev,proc,sys,run,tmp,etc,root,var}
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$image/$name"; done
  ln -s ../run "$image/var/run"
  ln -s ../run/lock "$image/var/lock"
  install -D "$(command -v busybox)" "$image/usr/bin/busybox"
  busybox --list | grep -vx busybox | while read -r name; do ln -s busybox "$image/usr/bin/$name"; done
  # The kernel looks for it here when it wants a module.
  ln -s ../bin/busybox "$image/usr/sbin/modprobe"
}

# add_files IMAGE FILE...: each to the place it has on a Debian system, whether it is installed or only unpacked.
add_files() {
  local image=$1 file
  for file in "${@:2}"; do
    install -D -m "$(stat -L -c %a "$file")" "$file" "$image/${file#"$unpacked"}"
  done
}

# add_programs IMAGE FILE...: with all libraries that they load when they start.
add_programs() {
  local image=$1 libraries
  add_files "$@"
  # A static program is none of ldd's business, which is no failure.
  libraries=$(LD_LIBRARY_PATH=$library_path ldd "${@:2}" | grep -oE '/[^ ]+\.so[^ :]*' | sort -u) || true
  # shellcheck disable=SC2086
  add_files "$image" $libraries
}

# add_modules IMAGE NAME...: with the modules that they need.
add_modules() {
  local image=$1 from=$unpacked/lib/modules/$kernel_release to=$1/lib/modules/$kernel_release file
  [ -e "$from/modules.dep" ] || depmod -b "$unpacked" "$kernel_release"
  modprobe -d "$unpacked" -S "$kernel_release" --show-depends --all "${@:2}" | awk '$1 == "insmod" { print $2 }' | sort -u |
    while read -r file; do install -D -m 644 "$file" "$to/${file#"$from"/}"; done
  cp "$from"/modules.{builtin,builtin.modinfo,order} "$to"
  depmod -b "$image" "$kernel_release"
}

# pack DIRECTORY FILE: not compressed, as an emulated processor unpacks far slower than it copies.
pack() {
  (cd "$1" && find . -print0 | sort -z | cpio --quiet --null -o -H newc -R 0:0) >"$2.new"
  mv "$2.new" "$2"
}
