/**
 * What could move a cursor, recolour a terminal, forge a log line or reorder what is read: C0,
 * DEL, C1, line and paragraph separators, bidirectional controls (Unicode TR36 section 3.2),
 * zero-width characters, the BOM and halves of surrogate pairs.
 */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/**
 * Makes foreign text (a QEMU message, a guest's name, a path) safe to print on one line. Unsafe
 * characters become `\xNN` or `\uNNNN`; everything else stays as it is.
 */
export function escapeControl(text: string): string {
  return text.replace(UNSAFE, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/**
 * `escapeControl`, cut to about `maxLength` characters of the original. What was left out is
 * counted at the end, so that nobody takes the rest for the whole.
 */
export function excerpt(text: string, maxLength = 200): string {
  if (text.length <= maxLength) return escapeControl(text);
  return `${escapeControl(text.slice(0, maxLength))}... (${text.length - maxLength} more)`;
}

const LONG_WORD = /\S{301,}/g;

/** `escapeControl`, with words of more than 300 characters cut: a path or an argument of any length leaves the sentence readable. */
export function readable(text: string): string {
  return escapeControl(
    text.replace(LONG_WORD, (word) => `${word.slice(0, 200)}...(${word.length - 200} more)`),
  );
}
