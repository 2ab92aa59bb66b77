#!/bin/sh
# Makes a disk with Debian and GRUB in its boot sector, without loop devices: make-disk.sh SUITE MIRROR DIRECTORY
#
# GRUB's images go where grub-mkimage expects them: boot.img into sector 0, core.img behind it. Its menu is
# made by the first boot, which starts the kernel directly: grub-probe has to see the disk as a disk.
set -eu
suite=$1 mirror=$2 directory=$3
here=$(dirname "$0")
root=$directory/root disk=$directory/disk.img
mebibytes=2500

debootstrap --variant=minbase \
  --include=linux-image-amd64,grub-pc-bin,grub2-common,initramfs-tools,udev,kmod,zstd,libstdc++6,procps \
  "$suite" "$root" "$mirror"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
mkdir -p "$root/opt/qmplug" "$root/boot/grub"
cp -a "$root/usr/lib/grub/i386-pc" "$root/boot/grub/"
cat >"$root/etc/default/grub" <<'GRUB'
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_LINUX="console=ttyS0 init=/lab-init intel_iommu=on"
GRUB
# Modules for this machine alone, and a packer that is quick under TCG.
sed -i 's/^MODULES=.*/MODULES=dep/; s/^COMPRESS=.*/COMPRESS=gzip/' \
  "$root/etc/initramfs-tools/initramfs.conf"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
echo '/dev/vda1 / ext4 defaults 0 1' >"$root/etc/fstab"
cp "$(command -v node)" "$root/usr/local/bin/node"
install -m 755 "$here/init.sh" "$root/lab-init"

truncate -s ${mebibytes}M "$disk"
node -e '
  const fs = require("fs"), sectors = Number(process.argv[2]) * 2048, table = Buffer.alloc(66);
  table[0] = 0x80; table[4] = 0x83; table.fill(0xfe, 1, 4); table.fill(0xfe, 5, 8);
  table.writeUInt32LE(2048, 8); table.writeUInt32LE(sectors - 2048, 12); table.writeUInt16LE(0xaa55, 64);
  const file = fs.openSync(process.argv[1], "r+"); fs.writeSync(file, table, 0, 66, 446);
' "$disk" $mebibytes
# GRUB 2.06 reads no metadata_csum_seed.
mkfs.ext4 -q -F -b 4096 -O '^metadata_csum_seed' -L root -U 11111111-2222-3333-4444-555555555555 \
  -E offset=1048576,lazy_itable_init=1 -d "$root" "$disk" $(((mebibytes - 1) * 256))
chroot "$root" grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o /tmp/core.img biosdisk part_msdos ext2
dd if="$root/usr/lib/grub/i386-pc/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
dd if="$root/tmp/core.img" of="$disk" bs=512 seek=1 conv=notrunc status=none
cp "$root"/boot/vmlinuz-* "$directory/vmlinuz"
cp "$root"/boot/initrd.img-* "$directory/initrd"
rm -rf "$root"
