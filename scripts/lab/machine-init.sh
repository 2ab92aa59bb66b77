# What both kinds of lab machine have in common; put before guest-init.sh and vfio-host-init.sh.
# The console is the first serial port; the agent's lines go over the second one, or over what lab_agent
# on the kernel's command line names. It stays open as file descriptor 3: what arrives at a serial port that
# nobody has open is lost.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "$module"; done </modules.list
agent=${lab_agent:-/dev/ttyS1}
until [ -c "$agent" ]; do sleep 0.1; done
exec 3<>"$agent"
# A virtio port is no terminal.
case $agent in /dev/vport*) ;; *) stty -F "$agent" raw -echo ;; esac
# OVMF draws its screen on every serial port and ends no line.
echo >&3

# Prints every PCI function: address, ids, class, driver, and the lines of its resource file.
list_pci() {
  echo pci-begin
  for device in /sys/bus/pci/devices/*; do
    read -r vendor <"$device/vendor" && read -r id <"$device/device" &&
      read -r class <"$device/class" || continue
    driver=-
    [ ! -e "$device/driver" ] || driver=$(basename "$(readlink "$device/driver")")
    resources=
    while read -r start end flags; do
      resources="$resources $start-$end-$flags"
    done <"$device/resource"
    echo "pci ${device##*/} $vendor $id $class $driver$resources"
  done
  echo pci-end
}

# Looks 20 times a second, or as lab_watch on the kernel's command line has it, which devices there are and which have a driver. Reading a pipe that nobody writes to sleeps without a fork.
watch_pci() {
  mkfifo /run/never
  exec 4<>/run/never
  seen=
  while :; do
    set -- /sys/bus/pci/devices/* /sys/bus/pci/devices/*/driver
    if [ "$*" != "$seen" ]; then
      seen="$*"
      list_pci >&3
    fi
    read -r -t "${lab_watch:-0.05}" _ <&4
  done
}
