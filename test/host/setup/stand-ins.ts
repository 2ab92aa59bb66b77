import type { TreeEntry } from './tree.js';

type Tree = Readonly<Record<string, TreeEntry>>;

/** Writes the call down, with each argument in brackets, so that quoting shows. */
const NOTE =
  'printf "%s" "${0##*/}" >>"$ROOT/calls"; for a in "$@"; do printf " [%s]" "$a" >>"$ROOT/calls"; done; echo >>"$ROOT/calls"';

const RELEASE = '6.1.0-50-amd64';

const modules = (names: readonly string[]) =>
  names.map((name) => `kernel/drivers/${name}.ko:\n`).join('');

/** What every host has: a kernel, a machine id, groups. */
export const common: Tree = {
  '/etc/machine-id': '0123456789abcdef0123456789abcdef\n',
  '/etc/group': 'root:x:0:\nkvm:x:108:\nadmin:x:1000:\n',
  '/proc/cmdline': 'BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet\n',
  '/proc/cpuinfo': 'vendor_id\t: GenuineIntel\n',
  '/sys/kernel/iommu_groups/0/type': 'DMA\n',
  '/sys/firmware/acpi/tables/DMAR': '',
  [`/usr/lib/modules/${RELEASE}/modules.builtin`]: 'kernel/drivers/pci/pci.ko\n',
  [`/usr/lib/modules/${RELEASE}/modules.dep`]: modules([
    'vfio',
    'vfio_iommu_type1',
    'vfio-pci',
    'kvm',
    'kvm-intel',
    'kvm-amd',
    'nouveau',
  ]),
};

/**
 * Debian 12: GRUB with /etc/default/grub.d and initramfs-tools. The stand-ins make a menu of the defaults as
 * grub-mkconfig 2.06 does, and an image that is a list of names.
 */
export const debian: Tree = {
  ...common,
  '/etc/default/grub':
    'GRUB_DEFAULT=0\nGRUB_DISTRIBUTOR=`lsb_release -i -s`\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX=""\n',
  '/usr/sbin/grub-mkconfig': { program: '# sources ${sysconfdir}/default/grub.d/*.cfg' },
  '/usr/sbin/update-grub': {
    program: `${NOTE}
. "$ROOT/etc/default/grub" 2>/dev/null
for f in "$ROOT"/etc/default/grub.d/*.cfg; do [ -e "$f" ] && . "$f"; done
mkdir -p "$ROOT/boot/grub"
{ echo '### BEGIN /etc/grub.d/10_linux ###'; echo "linux /boot/vmlinuz root=/dev/sda1 ro $GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT"; } >"$ROOT/boot/grub/grub.cfg"`,
  },
  '/boot/grub/grub.cfg':
    '### BEGIN /etc/grub.d/10_linux ###\nlinux /boot/vmlinuz root=/dev/sda1 ro  quiet\n',
  '/etc/initramfs-tools/modules': '# List of modules\n',
  '/etc/initramfs-tools/hooks/.keep': '',
  [`/boot/initrd.img-${RELEASE}`]: 'scripts/init-top/udev\n',
  '/usr/sbin/update-initramfs': {
    program: `${NOTE}
{ echo scripts/init-top/udev
sed -n '/^# BEGIN qmplug/,/^# END qmplug/{/^#/d;s,.*,usr/lib/modules/x/&.ko,p}' "$ROOT/etc/initramfs-tools/modules"
[ -e "$ROOT/etc/initramfs-tools/hooks/qmplug" ] && sed -n 's,^copy_file rule /,,p' "$ROOT/etc/initramfs-tools/hooks/qmplug"
} >"$ROOT/boot/initrd.img-${RELEASE}"; :`,
  },
  '/usr/bin/lsinitramfs': { program: 'cat "$ROOT$1"' },
};

/** What rpm-ostree keeps of a deployment: its arguments, one line. */
const RPM_OSTREE = `
f="$ROOT/ostree/kargs"
[ "$1" = kargs ] || exit 1
shift
[ $# = 0 ] && { cat "$f"; exit 0; }
${NOTE}
line=" $(cat "$f") "
for option in "$@"; do
  case $option in
    --append-if-missing=*) word=\${option#*=}; case $line in *" $word "*) ;; *) line="$line$word " ;; esac ;;
    --delete-if-present=*) word=\${option#*=}; case $line in *" $word "*) line="\${line%% $word *} \${line#* $word }" ;; esac ;;
    --replace=*) rest=\${option#*=}; key=\${rest%%=*}; rest=\${rest#*=}; old=\${rest%%=*}; new=\${rest#*=}
      case $line in *" $key=$old "*) line="\${line%% $key=$old *} $key=$new \${line#* $key=$old }" ;; *) echo "no $key=$old" >&2; exit 1 ;; esac ;;
    *) exit 1 ;;
  esac
done
echo $line >"$f"`;

/**
 * A Fedora image system with rpm-ostree (man 1 rpm-ostree, kargs). dracut is there and must never be run.
 */
export const silverblue: Tree = {
  ...common,
  '/run/ostree-booted': '',
  '/ostree/kargs': 'rhgb quiet root=UUID=1 rw\n',
  '/proc/cmdline': 'BOOT_IMAGE=/ostree/x rhgb quiet root=UUID=1 rw\n',
  '/usr/bin/rpm-ostree': { program: RPM_OSTREE },
  '/usr/bin/dracut': { program: `${NOTE}; exit 1` },
  '/usr/bin/lsinitrd': { program: 'cat "$ROOT$1"' },
  [`/boot/initramfs-${RELEASE}.img`]:
    'usr/lib/modules/x/vfio.ko.xz\nusr/lib/modules/x/vfio-pci.ko.xz\nusr/lib/modules/x/vfio_iommu_type1.ko.xz\n',
};
