# What only the machine itself can make: the initramfs for it, GRUB's variables and the first menu.
update-initramfs -u -k all
grub-editenv /boot/grub/grubenv create
update-grub
