# What only the machine itself can make: the initramfs for it, and the first menu.
update-initramfs -u -k all
update-grub
