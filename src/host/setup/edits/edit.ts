import { applyBlock, revertBlock, type BlockEdit } from './block.js';
import { applyLibvirtList, revertLibvirtList, type LibvirtListEdit } from './libvirt-list.js';
import { applyShellVariable, type ShellVariableEdit } from './shell-variable.js';
import { applyWords, type WordsEdit } from './words.js';
import { applyYamlList, revertYamlList, type YamlListEdit } from './yaml-list.js';
import { invertChange, type ArgumentChange } from '../argument-changes.js';

/** How our part gets into a file that others write too. Plain JSON. */
export type FileEdit =
  | BlockEdit
  | ShellVariableEdit
  | WordsEdit
  | LibvirtListEdit
  | YamlListEdit
  | { readonly kind: 'all'; readonly edits: readonly FileEdit[] };

/** The text with our part in it; the same text where it is there already. */
export function applyEdit(text: string, edit: FileEdit): string {
  switch (edit.kind) {
    case 'block':
      return applyBlock(text, edit);
    case 'shell-variable':
      return applyShellVariable(text, edit);
    case 'words':
      return applyWords(text, edit);
    case 'libvirt-list':
      return applyLibvirtList(text, edit);
    case 'yaml-list':
      return applyYamlList(text, edit);
    case 'all':
      return edit.edits.reduce(applyEdit, text);
  }
}

/** The text without our part, whatever else has changed in it since. */
export function revertEdit(text: string, edit: FileEdit): string {
  switch (edit.kind) {
    case 'block':
      return revertBlock(text);
    case 'shell-variable':
      return applyShellVariable(text, {
        ...edit,
        changes: edit.changes.map(invertChange).reverse(),
      });
    case 'words':
      return applyWords(text, { ...edit, changes: edit.changes.map(invertChange).reverse() });
    case 'libvirt-list':
      return revertLibvirtList(text, edit);
    case 'yaml-list':
      return revertYamlList(text, edit);
    case 'all':
      return edit.edits.reduceRight(revertEdit, text);
  }
}

/** The changes of a command line that an edit makes. */
export function changesOf(edit: FileEdit): readonly ArgumentChange[] {
  switch (edit.kind) {
    case 'shell-variable':
    case 'words':
      return edit.changes;
    case 'all':
      return edit.edits.flatMap(changesOf);
    case 'block':
    case 'libvirt-list':
    case 'yaml-list':
      return [];
  }
}
