# A host with an IOMMU whose programs are those of the machine it runs on: that machine's root, read
# over 9p with a writable layer of memory on top. Expects in /lab.conf: RELEASE, MODULES (the kernel's
# modules directory), KEEP (directories to show although they lie below /tmp or /run).
. /lab.conf
options=trans=virtio,version=9p2000.L,msize=262144
mkdir -p /lower /layer /root
mount -t 9p -o "$options,cache=loose,ro" hostroot /lower || poweroff -f
mount -t tmpfs tmpfs /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work overlay /root || poweroff -f
for name in proc sys dev; do mount --rbind "/$name" "/root/$name"; done
for name in run tmp var/tmp; do
  mount -t tmpfs tmpfs "/root/$name"
  chmod 1777 "/root/$name"
done
mkdir -p /root/dev/pts /root/dev/shm /root/run/lab "/root/lib/modules/$RELEASE"
mount -t devpts devpts /root/dev/pts
mount -t tmpfs tmpfs /root/dev/shm
mount -t 9p -o "$options,cache=none" exchange /root/run/lab
mount --bind "/lower$MODULES" "/root/lib/modules/$RELEASE"
for path in $KEEP; do
  mkdir -p "/root$path"
  mount --bind "/lower$path" "/root$path"
done
ip link set lo up
hostname vfio-host
watch_pci &
exec chroot /root /bin/sh /run/lab/agent.sh
