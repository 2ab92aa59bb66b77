/** A complete JSON text from the client, or what QEMU's parser says of bytes that are none. */
export type Scanned =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'error'; readonly description: string };

const OPENING = '{[';
const CLOSING = '}]';

/**
 * Cuts the client's bytes the way QEMU's parser does (qobject/json-streamer.c): by nesting, with
 * either kind of quotes, newlines meaning nothing, and a control character throwing away what came
 * before it.
 */
export class RequestScanner {
  readonly #decoder = new TextDecoder();
  #partial = '';
  #depth = 0;
  #quote = '';
  #escaped = false;

  push(data: Uint8Array): readonly Scanned[] {
    const found: Scanned[] = [];
    for (const character of this.#decoder.decode(data, { stream: true })) {
      const result = this.#take(character);
      if (result) found.push(result);
    }
    return found;
  }

  #take(character: string): Scanned | undefined {
    if (isStray(character)) {
      this.#reset();
      return { kind: 'error', description: `JSON parse error, stray '${escape(character)}'` };
    }
    if (this.#depth === 0 && this.#partial === '' && /\s/.test(character)) return undefined;
    this.#partial += character;
    if (this.#quote !== '') {
      if (this.#escaped) this.#escaped = false;
      else if (character === '\\') this.#escaped = true;
      else if (character === this.#quote) this.#quote = '';
      return undefined;
    }
    if (character === '"' || character === "'") this.#quote = character;
    if (OPENING.includes(character)) this.#depth++;
    if (CLOSING.includes(character)) {
      if (this.#depth === 0) return this.#fail('JSON parse error, expecting value');
      this.#depth--;
      if (this.#depth === 0) {
        const text = this.#partial;
        this.#reset();
        return { kind: 'text', text };
      }
    }
    if (this.#depth === 0 && /\s/.test(character)) {
      return this.#fail(`JSON parse error, invalid keyword '${this.#partial.trim()}'`);
    }
    return undefined;
  }

  #fail(description: string): Scanned {
    this.#reset();
    return { kind: 'error', description };
  }

  #reset(): void {
    this.#partial = '';
    this.#depth = 0;
    this.#quote = '';
    this.#escaped = false;
  }
}

/** Control characters but for TAB, LF and CR; 0xff decodes to the replacement character. */
function isStray(character: string): boolean {
  return (character < ' ' && !'\t\r\n'.includes(character)) || character === '\ufffd';
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
