# Sets the machine up, reboots, looks, boots the way back once where it is asked to, puts everything back, reboots, and
# looks again. A line of the result is `LAB: stage key value`.
stage=$(cat /var/lab-stage 2>/dev/null || echo 0)
say() { echo "LAB: $stage $*"; }
host() { node /opt/qmplug/dist/cli/main.js host "$@"; }
listing() {
  if command -v lsinitramfs >/dev/null; then lsinitramfs "$1"; else lsinitrd "$1"; fi
}
next() {
  echo "$1" >/var/lab-stage
  sync
  mount -o remount,ro /
  echo b >/proc/sysrq-trigger
}
# Every file that set-up or its programs may touch, and what is in the initramfs.
state() {
  find /etc /boot -xdev -type f ! -name 'initrd*' ! -name grubenv \
    -exec stat -c '%n %a %u:%g' {} + -exec sha256sum {} + | sort
  find /etc /boot -xdev ! -type f | sort
  unpack /boot/initrd.img-*
}
unpack() {
  rm -rf /tmp/image && mkdir /tmp/image && cd /tmp/image || exit
  if command -v unmkinitramfs >/dev/null; then unmkinitramfs "$1" .; else lsinitrd --unpack "$1"; fi
  find . -type f -exec sha256sum {} + | sort
  find . ! -type f -printf '%p %l\n' | sort
  cd / && rm -rf /tmp/image
}
driver() { basename "$(readlink "/sys/bus/pci/devices/$1/driver")"; }
put_back() {
  host rollback --json
  say rollback $?
  state >/var/lab-after
  cmp /var/lab-before /var/lab-after
  say identical $?
  diff /var/lab-before /var/lab-after
  next 3
}

say cmdline "$(cat /proc/cmdline)"
say early "$(driver 0000:00:05.0)"
say twin "$(driver 0000:00:06.0)"
case $stage in
  0)
    state >/var/lab-before
    host plan /opt/qmplug/host.json --json
    say plan $?
    touch /var/lab-begin
    host apply /opt/qmplug/host.json --json
    say apply $?
    find / -xdev -newer /var/lab-begin ! -path '/var/lab-*' \
      ! -path /var ! -path /dev ! -path /proc ! -path /sys ! -path /run ! -path /tmp >/tmp/touched
    say touched "$(sort /tmp/touched | xargs)"
    host apply /opt/qmplug/host.json --json
    say again $?
    host verify /opt/qmplug/host.json
    say verify $?
    say image "$(listing /boot/initrd.img-* | grep -oE '[^ ]*(vfio[^ ]*\.ko|60-qmplug-vfio\.rules)[^ ]*' | xargs)"
    next 1
    ;;
  1)
    host verify /opt/qmplug/host.json --json
    say verify $?
    say msrs "$(modprobe kvm && cat /sys/module/kvm/parameters/ignore_msrs)"
    [ -e /opt/qmplug/fallback ] || put_back
    grub-reboot "$(sed -n "s/^menuentry '\([^']*without vfio-pci[^']*\)'.*/\1/p" /boot/grub/grub.cfg | head -1)"
    next 2
    ;;
  2)
    say vfio "$(lsmod | grep -c '^vfio_pci')"
    put_back
    ;;
  3) say journal "$(find /var/lib/qmplug -type f | wc -l)" ;;
esac
