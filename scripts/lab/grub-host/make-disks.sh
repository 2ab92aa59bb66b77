#!/bin/sh
# Makes two disks with Debian and GRUB in the boot sector, one for each program that makes an initramfs, without loop
# devices and without booting: make-disks.sh SUITE MIRROR NODE DIRECTORY. The directory holds the packages of dracut.
#
# Run it in a mount namespace of its own: debootstrap mounts /proc in its tree, and a killed one leaves it there.
set -eu
suite=$1 mirror=$2 node=$3 directory=$4
here=$(dirname "$0")
root=$directory/root
mebibytes=2500
uuid=11111111-2222-3333-4444-555555555555

in_root() { chroot "$root" env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

# grub-probe sees no disk here; this one says what the machine's own says, which has no hints for a virtio disk. Were
# it wrong, the menu of the disk would differ from the one that update-grub makes again behind a rollback.
make_menu() {
  mv "$root/usr/sbin/grub-probe" "$root/usr/sbin/grub-probe.real"
  cat >"$root/usr/sbin/grub-probe" <<PROBE
#!/bin/sh
case " \$* " in
  *=device*) echo /dev/vda1 ;;
  *=fs_uuid*) echo $uuid ;;
  *=partuuid*) echo 00000000-01 ;;
  *=fs*) echo ext2 ;;
  *=partmap*) echo msdos ;;
esac
PROBE
  chmod 755 "$root/usr/sbin/grub-probe"
  # The menu names the root by its UUID only where udev has made the link.
  mkdir -p "$root/dev/disk/by-uuid"
  : >"$root/dev/disk/by-uuid/$uuid"
  in_root grub-editenv /boot/grub/grubenv create
  in_root update-grub
  rm -r "$root/dev/disk"
  mv "$root/usr/sbin/grub-probe.real" "$root/usr/sbin/grub-probe"
}

# GRUB's images go where grub-mkimage expects them: boot.img into sector 0, core.img behind it.
make_disk() {
  disk=$directory/$1.img
  truncate -s ${mebibytes}M "$disk"
  "$node" -e '
    const fs = require("fs"), sectors = Number(process.argv[2]) * 2048, table = Buffer.alloc(66);
    table[0] = 0x80; table[4] = 0x83; table.fill(0xfe, 1, 4); table.fill(0xfe, 5, 8);
    table.writeUInt32LE(2048, 8); table.writeUInt32LE(sectors - 2048, 12); table.writeUInt16LE(0xaa55, 64);
    const file = fs.openSync(process.argv[1], "r+"); fs.writeSync(file, table, 0, 66, 446);
  ' "$disk" $mebibytes
  # GRUB 2.06 reads no metadata_csum_seed. What is mounted in the tree stays out.
  mkdir "$directory/empty"
  mount --bind "$directory/empty" "$root/proc"
  mkfs.ext4 -q -F -b 4096 -O '^metadata_csum_seed' -L root -U $uuid \
    -E offset=1048576,lazy_itable_init=1 -d "$root" "$disk" $(((mebibytes - 1) * 256))
  umount "$root/proc"
  rmdir "$directory/empty"
  dd if="$root/usr/lib/grub/i386-pc/boot.img" of="$disk" bs=440 count=1 conv=notrunc status=none
  dd if="$directory/core.img" of="$disk" bs=512 seek=1 conv=notrunc status=none
}

# sysvinit-core: dracut wants poweroff and reboot, and systemd would make its image twice as large. INITRD: the
# kernel's package would make an image of every driver that there is.
INITRD=No debootstrap --variant=minbase \
  --include=sysvinit-core,linux-image-amd64,grub-pc-bin,grub2-common,initramfs-tools,udev,kmod,zstd,libstdc++6,procps,cpio,kpartx \
  "$suite" "$root" "$mirror"
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
mkdir -p "$root/opt/qmplug" "$root/boot/grub"
cp -a "$root/usr/lib/grub/i386-pc" "$root/boot/grub/"
# Behind intel_iommu=on, the words are for speed under TCG, and for a busy machine: it delays the checks of clocks, and
# what watchdogs say would stand in the middle of the scenario's lines.
cat >"$root/etc/default/grub" <<'GRUB'
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_TERMINAL=console
GRUB_DISABLE_RECOVERY=true
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_LINUX="console=ttyS0 init=/lab-init intel_iommu=on mitigations=off init_on_alloc=0 no_timer_check tsc=reliable nowatchdog rcupdate.rcu_cpu_stall_suppress=1"
GRUB
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
echo '/dev/vda1 / ext4 defaults 0 1' >"$root/etc/fstab"
install -m 755 "$here/init.sh" "$root/lab-init"
install -m 755 "$node" "$root/usr/local/bin/node"
# Debian's own Node is a small program with large libraries.
ldd "$node" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | while read -r library; do
  [ -e "$root$library" ] || install -D -m 644 "$library" "$root$library"
done
in_root node --version
in_root grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o /tmp/core.img biosdisk part_msdos ext2
mv "$root/tmp/core.img" "$directory/core.img"
release=$(basename "$root"/lib/modules/*)

# Small images, of what this machine boots from alone, with a packer that is quick under TCG.
cat >"$root/etc/initramfs-tools/conf.d/lab" <<'CONF'
MODULES=list
COMPRESS=gzip
COMPRESSLEVEL=1
FSTYPE=ext4
RESUME=none
CONF
printf '%s\n' virtio_pci virtio_blk ext4 >>"$root/etc/initramfs-tools/modules"
in_root update-initramfs -c -k "$release"
make_menu
make_disk initramfs-tools

# As APT does it: the configuration of initramfs-tools stays.
in_root dpkg --remove --force-depends initramfs-tools initramfs-tools-core
rm -f "$root"/boot/initrd.img-*
cp "$directory"/dracut*.deb "$root/tmp/"
in_root sh -c 'dpkg --install --no-triggers /tmp/dracut*.deb'
rm -f "$root"/tmp/*.deb
mkdir -p "$root/etc/dracut.conf.d"
cat >"$root/etc/dracut.conf.d/10-lab.conf" <<'DRACUT'
hostonly=no
compress="gzip -n -1"
dracutmodules+=" base fs-lib kernel-modules rootfs-block udev-rules "
drivers+=" virtio_pci virtio_blk ext4 "
DRACUT
in_root dracut --force --regenerate-all
make_menu
make_disk dracut
umount "$root/proc"
rm -rf "$root" "$directory/core.img" "$directory"/*.deb
