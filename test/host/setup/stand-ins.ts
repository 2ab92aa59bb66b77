import type { TreeEntry } from './tree.js';

type Tree = Readonly<Record<string, TreeEntry>>;

/** Writes the call down, with each argument in brackets, so that quoting shows. */
const NOTE =
  'printf "%s" "${0##*/}" >>"$ROOT/calls"; for a in "$@"; do printf " [%s]" "$a" >>"$ROOT/calls"; done; echo >>"$ROOT/calls"';

const RELEASE = '6.1.0-50-amd64';

const modules = (names: readonly string[]) =>
  names.map((name) => `kernel/drivers/${name}.ko:\n`).join('');

/** What every host has: a kernel, a machine id, groups, systemd. */
export const common: Tree = {
  '/usr/bin/udevadm': { program: ':' },
  '/usr/bin/systemctl': { program: ':' },
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
  '/usr/sbin/mkinitramfs': { program: 'exit 1' },
  '/usr/sbin/update-initramfs': {
    program: `${NOTE}
{ echo scripts/init-top/udev
sed -n '/^# BEGIN qmplug/,/^# END qmplug/{/^#/d;s,.*,usr/lib/modules/x/&.ko,p}' "$ROOT/etc/initramfs-tools/modules"
[ -e "$ROOT/etc/initramfs-tools/hooks/qmplug" ] && sed -n 's,.*copy_file rule /\\([^;]*\\);.*,\\1,p' "$ROOT/etc/initramfs-tools/hooks/qmplug"
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

const MODULES_IN_IMAGE = (list: string) => `echo "usr/lib/modules/x/${list}.ko.xz"`;

/** dracut (dracut.conf(5)): an image is the list of what `force_drivers` and `install_items` name. */
const DRACUT = `${NOTE}
force_drivers= install_items=
for f in "$ROOT"/etc/dracut.conf.d/*.conf; do [ -e "$f" ] && sed 's/+=" \\(.*\\) "/="\\1"/' "$f" >"$ROOT/run/dracut.sh" && . "$ROOT/run/dracut.sh"; done
rm -f "$ROOT/run/dracut.sh"
{ echo usr/lib/systemd/systemd; for m in $force_drivers; do ${MODULES_IN_IMAGE('$m')}; done; for i in $install_items; do echo "\${i#/}"; done; } >"$ROOT/boot/initramfs-${RELEASE}.img"`;

const dracutTree: Tree = {
  '/usr/bin/dracut': { program: DRACUT },
  '/usr/bin/lsinitrd': { program: 'cat "$ROOT$1"' },
  '/run/.keep': '',
  [`/boot/initramfs-${RELEASE}.img`]: 'usr/lib/systemd/systemd\n',
};

/** grubby (grubby(8)): one line of arguments for each of two kernels. */
const GRUBBY = `
f="$ROOT/boot/args"
case $1 in --info=ALL) for k in 0 1; do echo "index=$k"; echo "args=\\"$(cat "$f")\\""; done; exit 0 ;; esac
${NOTE}
line=" $(cat "$f") "
for option in "$@"; do case $option in
  --remove-args=*) for word in \${option#*=}; do case $line in *" $word "*) line="\${line%% $word *} \${line#* $word }" ;; esac; done ;;
esac; done
for option in "$@"; do case $option in --args=*) line="$line\${option#*=} " ;; esac; done
echo $line >"$f"`;

/** Fedora without an image: grubby and dracut. */
export const fedora: Tree = {
  ...common,
  ...dracutTree,
  '/boot/args': 'ro rhgb quiet\n',
  '/usr/sbin/grubby': { program: GRUBBY },
};

/** A host whose only way is /etc/default/grub, with the menu on the EFI partition (openSUSE, older RHEL). */
export const grubOnly: Tree = {
  ...common,
  ...dracutTree,
  '/etc/default/grub':
    "GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX='crashkernel=auto'\nGRUB_CMDLINE_LINUX_DEFAULT=quiet",
  '/sys/firmware/efi/fw_platform_size': '64\n',
  '/boot/efi/EFI/BOOT/grub.cfg': 'configfile $prefix/grub.cfg\n',
  '/boot/efi/EFI/vendor/grub.cfg':
    '### BEGIN /etc/grub.d/00_header ###\nlinux /vmlinuz crashkernel=auto quiet\n',
  '/boot/grub2/grub.cfg':
    '### BEGIN /etc/grub.d/00_header ###\nlinux /vmlinuz crashkernel=auto quiet\n',
  '/usr/sbin/grub2-mkconfig': {
    program: `${NOTE}
. "$ROOT/etc/default/grub"
{ echo '### BEGIN /etc/grub.d/00_header ###'; echo "linux /vmlinuz $GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT"; } >"$ROOT$2"`,
  },
};

/** Pop!_OS: kernelstub -a and -d, one argument a call; its configuration is JSON. */
export const popOs: Tree = {
  ...common,
  '/etc/kernelstub/configuration': '{"user":{"kernel_options":["quiet","splash"]}}\n',
  '/usr/bin/kernelstub': {
    program: `${NOTE}
node -e 'const fs=require("fs"),f=process.env.ROOT+"/etc/kernelstub/configuration",c=JSON.parse(fs.readFileSync(f));const o=c.user.kernel_options;const [a,w]=process.argv.slice(1);if(a==="-a"){if(!o.includes(w))o.push(w)}else c.user.kernel_options=o.filter((x)=>x!==w);fs.writeFileSync(f,JSON.stringify(c)+"\\n")' -- "$@"`,
  },
};

/** systemd-boot with kernel-install: entries are made of /etc/kernel/cmdline. */
export const systemdBoot: Tree = {
  ...common,
  '/etc/kernel/cmdline': 'root=UUID=1 rw quiet\n',
  '/boot/loader/loader.conf': 'timeout 3\n',
  '/boot/loader/entries/1.conf': 'options root=UUID=1 rw quiet\n',
  '/usr/bin/kernel-install': {
    program: `case $1 in --help) echo add-all; exit 0 ;; esac
${NOTE}
echo "options $(cat "$ROOT/etc/kernel/cmdline")" >"$ROOT/boot/loader/entries/1.conf"`,
  },
};

/** Proxmox VE with its own boot tool. */
export const proxmox: Tree = {
  ...common,
  '/etc/kernel/cmdline': 'root=ZFS=rpool/ROOT/pve-1 boot=zfs\n',
  '/etc/kernel/proxmox-boot-uuids': 'AAAA-BBBB\n',
  '/usr/sbin/proxmox-boot-tool': { program: NOTE },
};

export const nixosHost: Tree = { ...common, '/etc/NIXOS': '' };

/** A machine with a boot loader that we do not know. */
export const unknownHost: Tree = common;

/**
 * A running bootc system whose `loader-entries` track arguments by their source. Clearing a source takes a
 * namesake of the base along, as bootc 1.16.9 does (exact match).
 */
export const bootcHost: Tree = {
  ...common,
  '/run/ostree-booted': '',
  '/boot/loader/entries/ostree-1.conf': 'version 1\noptions root=UUID=1 rw quiet\n',
  '/usr/bin/ostree': { program: 'echo "libostree:"; echo " Version: \'2026.1\'"' },
  '/usr/bin/bootc': {
    program: `
[ "$1" = loader-entries ] || exit 1
[ "$2" = --help ] && exit 0
${NOTE}
f="$ROOT/boot/loader/entries/ostree-1.conf"
node -e 'const fs=require("fs"),f=process.argv[1],a=process.argv.slice(2);const t=fs.readFileSync(f,"utf8");const own=(/^x-options-source-qmplug (.*)$/m.exec(t)?.[1]??"").split(" ").filter(Boolean);const now=(/^options (.*)$/m.exec(t)[1]).split(" ");const i=a.indexOf("--options");const wanted=i<0?[]:a[i+1].split(" ");const base=now.filter((w)=>!own.includes(w));const all=[...base,...wanted.filter((w)=>!base.includes(w))];fs.writeFileSync(f,["version 1","options "+all.join(" "),...(wanted.length?["x-options-source-qmplug "+wanted.join(" ")]:[]),""].join("\\n"))' "$f" "$@"`,
  },
};

/** A bootc image while it is built; nothing of it runs. */
export const bootcBuild: Tree = {
  '/usr/lib/bootc/kargs.d/10-base.toml':
    'kargs = ["quiet", \'rhgb\']\nmatch-architectures = ["x86_64"]\n',
  '/usr/lib/modules/6.12.0/modules.builtin': '',
  '/usr/lib/modules/6.12.0/modules.dep':
    'kernel/vfio.ko:\nkernel/vfio-pci.ko:\nkernel/vfio_iommu_type1.ko:\nkernel/kvm.ko:\n',
  '/usr/lib/dracut/dracut.conf.d/80-vfio.conf': 'force_drivers+=" vfio "\n',
  '/usr/bin/dracut': { program: 'exit 1' },
  '/etc/group': 'kvm:x:36:\n',
};

/**
 * Arch: mkinitcpio (mkinitcpio.conf(5)), whose drop-ins are read after its own file; an image is the list of what
 * MODULES and FILES name. The boot loader is another matter.
 */
export const arch: Tree = {
  ...common,
  '/usr/bin/mkinitcpio': {
    program: `${NOTE}
bash -c 'MODULES=(amdgpu) FILES=()
for f in "$ROOT"/etc/mkinitcpio.conf.d/*.conf; do [ -e "$f" ] && . "$f"; done
echo init
for m in "\${MODULES[@]}"; do [ "$m" = amdgpu ] || echo "usr/lib/modules/x/$m.ko"; done
for f in "\${FILES[@]}"; do echo "\${f#/}"; done' >"$ROOT/boot/initramfs-linux.img"`,
  },
  '/usr/bin/lsinitcpio': { program: 'cat "$ROOT$1"' },
  '/boot/initramfs-linux.img': 'init\n',
};

/** Arch with booster (its manual, "Config file"): an image is made of the modules that /etc/booster.yaml names. */
export const boosterHost: Tree = {
  ...common,
  '/usr/bin/booster': { program: '[ "$1" = ls ] && cat "$ROOT$2"' },
  '/usr/lib/booster/regenerate_images': {
    program: `${NOTE}
{ echo init; sed -n 's/^modules_force_load: *//p' "$ROOT/etc/booster.yaml" 2>/dev/null | tr , '\n' | sed 's,.*,usr/lib/modules/x/&.ko,'; } >"$ROOT/boot/booster-linux.img"`,
  },
  '/boot/booster-linux.img': 'init\n',
};

interface DeviceFiles {
  readonly vendor?: string;
  readonly device?: string;
  readonly class?: string;
}

/** A PCI function in sysfs, as far as set-up looks at it. */
export function pciDevice(bdf: string, files: DeviceFiles = {}): Tree {
  const at = `/sys/bus/pci/devices/${bdf}`;
  const { vendor = '0x10de', device = '0x2204' } = files;
  return {
    [`${at}/vendor`]: `${vendor}\n`,
    [`${at}/device`]: `${device}\n`,
    [`${at}/subsystem_vendor`]: '0x1043\n',
    [`${at}/subsystem_device`]: '0x87b5\n',
    [`${at}/class`]: `${files.class ?? '0x030000'}\n`,
    [`${at}/revision`]: '0xa1\n',
    [`${at}/resource`]: '0x0 0x0 0x0\n',
    [`${at}/config`]: '',
  };
}
