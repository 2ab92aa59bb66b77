#!/bin/sh
# Makes two disks with Debian and GRUB in the boot sector, one for each program that makes an initramfs, without loop
# devices: make-disks.sh SUITE MIRROR NODE DIRECTORY. The directory holds the packages of dracut.
#
# Run it in a mount namespace of its own: debootstrap mounts /proc in its tree, and a killed one leaves it there.
set -eu
suite=$1 mirror=$2 node=$3 directory=$4
here=$(dirname "$0")
root=$directory/root
mebibytes=2500

# GRUB's images go where grub-mkimage expects them: boot.img into sector 0, core.img behind it. Its menu is
# made by the first boot, which starts the kernel directly: grub-probe has to see the disk as a disk.
make_disk() {
  disk=$directory/$1.img
  truncate -s ${mebibytes}M "$disk"
  "$node" -e '
    const fs = require("fs"), sectors = Number(process.argv[2]) * 2048, table = Buffer.alloc(66);
    table[0] = 0x80; table[4] = 0x83; table.fill(0xfe, 1, 4); table.fill(0xfe, 5, 8);
    table.writeUInt32LE(2048, 8); table.writeUInt32LE(sectors - 2048, 12); table.writeUInt16LE(0xaa55, 64);
    const file = fs.openSync(process.argv[1], "r+"); fs.writeSync(file, table, 0, 66, 446);
  ' "$disk" $mebibytes
  # GRUB 2.06 reads no metadata_csum_seed.
  mkfs.ext4 -q -F -b 4096 -O '^metadata_csum_seed' -L root -U 11111111-2222-3333-4444-555555555555 \
    -E offset=1048576,lazy_itable_init=1 -d "$root" "$disk" $(((mebibytes - 1) * 256))
  dd if="$root/usr/lib/grub/i386-pc/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
  dd if="$directory/core.img" of="$disk" bs=512 seek=1 conv=notrunc status=none
}

# sysvinit-core: dracut wants poweroff and reboot, and systemd would make its image twice as large.
debootstrap --variant=minbase \
  --include=sysvinit-core,linux-image-amd64,grub-pc-bin,grub2-common,initramfs-tools,udev,kmod,zstd,libstdc++6,procps,cpio,kpartx \
  "$suite" "$root" "$mirror"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
mkdir -p "$root/opt/qmplug" "$root/boot/grub"
cp -a "$root/usr/lib/grub/i386-pc" "$root/boot/grub/"
# The last two words are for speed under TCG.
cat >"$root/etc/default/grub" <<'GRUB'
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_LINUX="console=ttyS0 init=/lab-init intel_iommu=on mitigations=off init_on_alloc=0"
GRUB
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
echo '/dev/vda1 / ext4 defaults 0 1' >"$root/etc/fstab"
install -m 755 "$here/init.sh" "$root/lab-init"
install -m 755 "$node" "$root/usr/local/bin/node"
# Debian's own Node is a small program with large libraries.
ldd "$node" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | while read -r library; do
  [ -e "$root$library" ] || install -D -m 644 "$library" "$root$library"
done
chroot "$root" node --version
chroot "$root" grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o /tmp/core.img biosdisk part_msdos ext2
mv "$root/tmp/core.img" "$directory/core.img"
cp "$root"/boot/vmlinuz-* "$directory/vmlinuz"
cp "$root"/boot/initrd.img-* "$directory/initrd"

# Images for this machine alone, with a packer that is quick under TCG.
sed -i 's/^MODULES=.*/MODULES=dep/; s/^COMPRESS=.*/COMPRESS=gzip/' \
  "$root/etc/initramfs-tools/initramfs.conf"
make_disk initramfs-tools

# As APT does it: the configuration of initramfs-tools stays. Its image would be dracut's first one, made by a
# trigger: the first boot makes it.
chroot "$root" dpkg --remove --force-depends initramfs-tools initramfs-tools-core
rm -f "$root"/boot/initrd.img-*
cp "$directory"/dracut*.deb "$root/tmp/"
chroot "$root" sh -c 'dpkg --install --no-triggers /tmp/dracut*.deb'
rm -f "$root"/tmp/*.deb
mkdir -p "$root/etc/dracut.conf.d"
cat >"$root/etc/dracut.conf.d/10-lab.conf" <<'DRACUT'
hostonly=yes
compress=gzip
dracutmodules+=" base fs-lib kernel-modules rootfs-block udev-rules "
DRACUT
make_disk dracut
rm -rf "$root" "$directory/core.img" "$directory"/*.deb
