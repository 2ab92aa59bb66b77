import { createHash } from 'node:crypto';

/** A file as it was or shall be. Plain JSON: it stands in the journal. */
export type FileState =
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'file';
      /** The content; base64, so that every byte comes back. */
      readonly base64: string;
      readonly mode: number;
      /** Null: whoever writes it owns it. */
      readonly uid: number | null;
      readonly gid: number | null;
      /** The SELinux context; null where there is none or it is the directory's to give. */
      readonly label: string | null;
    };

export const ABSENT: FileState = { kind: 'absent' };

/** A new file of ours. */
export function newFile(content: string, mode = 0o644): FileState {
  const base64 = Buffer.from(content, 'utf8').toString('base64');
  return { kind: 'file', base64, mode, uid: null, gid: null, label: null };
}

/** The same file with other content. */
export function withContent(state: FileState, content: string): FileState {
  if (state.kind === 'absent') return newFile(content);
  return { ...state, base64: Buffer.from(content, 'utf8').toString('base64') };
}

export function bytesOf(state: FileState): Buffer | undefined {
  return state.kind === 'absent' ? undefined : Buffer.from(state.base64, 'base64');
}

/** The content as text; undefined where there is no file. */
export function textOf(state: FileState): string | undefined {
  return bytesOf(state)?.toString('utf8');
}

/** sha256 of the content in hex, or `absent`: what tells a foreign edit. */
export function fingerprint(state: FileState): string {
  const bytes = bytesOf(state);
  return bytes === undefined ? 'absent' : createHash('sha256').update(bytes).digest('hex');
}
