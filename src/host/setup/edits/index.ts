export { applyEdit, changesOf, revertEdit, type FileEdit } from './edit.js';
export { libvirtListOf } from './libvirt-list.js';
