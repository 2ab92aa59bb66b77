# Sets the machine up, reboots, looks, boots the way back once, puts everything back, reboots, and looks again.
# A line of the result is `LAB: stage key value`.
stage=$(cat /var/lab-stage 2>/dev/null || echo 0)
say() { echo "LAB: $stage $*"; }
host() { node /opt/qmplug/dist/cli/main.js host "$@"; }
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
  find /etc /boot -xdev -type d | sort
  lsinitramfs /boot/initrd.img-* | sort
}
driver() { basename "$(readlink "/sys/bus/pci/devices/$1/driver")"; }

say cmdline "$(cat /proc/cmdline)"
say early "$(driver 0000:00:05.0)"
say twin "$(driver 0000:00:06.0)"
case $stage in
  0)
    state >/var/lab-before
    host apply /opt/qmplug/host.json --json
    say apply $?
    host apply /opt/qmplug/host.json --json
    say again $?
    say image "$(lsinitramfs /boot/initrd.img-* | grep -E 'vfio-pci.ko|60-qmplug-vfio.rules' | xargs)"
    next 1
    ;;
  1)
    host verify /opt/qmplug/host.json --json
    say verify $?
    say msrs "$(modprobe kvm && cat /sys/module/kvm/parameters/ignore_msrs)"
    grub-reboot "$(sed -n "s/^menuentry '\([^']*without vfio-pci[^']*\)'.*/\1/p" /boot/grub/grub.cfg | head -1)"
    next 2
    ;;
  2)
    say vfio "$(lsmod | grep -c '^vfio_pci')"
    host rollback --json
    say rollback $?
    state >/var/lab-after
    cmp /var/lab-before /var/lab-after
    say identical $?
    diff /var/lab-before /var/lab-after
    next 3
    ;;
  3) say journal "$(find /var/lib/qmplug -type f | wc -l)" ;;
esac
