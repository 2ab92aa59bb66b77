/**
 * The whole seam between the QMP client and the outside: bytes in both directions and an end.
 * Met by a unix or TCP socket, a child's stdio, the transcript player, the simulator, and an
 * object literal in a test.
 */
export interface QmpTransport {
  /** What the other end is, for messages: `unix:/run/vm.sock`. */
  readonly address: string;
  /**
   * Hands bytes over in order. Resolves when they were accepted (back-pressure); rejects when
   * the transport is closed.
   */
  send(data: Uint8Array): Promise<void>;
  /**
   * Starts delivery. Bytes come in any cut. `onClose` is called exactly once, after the last
   * byte, with the reason when the end was not orderly.
   */
  start(handlers: TransportHandlers): void;
  /** Ends the transport; idempotent. `onClose` still follows. */
  close(): void;
  /** Stops and resumes delivery, where the transport can: for a reader that cannot keep up. */
  pause?(): void;
  resume?(): void;
  /** Tells the other end that nothing more comes, after all that was sent; delivery goes on. */
  endSending?(): void;
  /** How open files go along; absent where the transport has no way for them. */
  readonly files?: FileSender | undefined;
}

/** An open file of this process. Once it is closed its number reads -1, as that of Node's `FileHandle` does. */
export interface OpenFile {
  readonly fd: number;
}

/** Hands open files over together with bytes: SCM_RIGHTS, unix(7). */
export interface FileSender {
  /** What keeps files from being sent; undefined where nothing does. */
  obstacle(): Promise<string | undefined>;
  /**
   * Hands over bytes, in order with `send`, and with the first of them the file, which has to stay open until
   * the peer has answered. Resolves when all of it was accepted.
   */
  send(data: Uint8Array, file: OpenFile): Promise<void>;
}

export interface TransportHandlers {
  onData(data: Uint8Array): void;
  onClose(reason?: Error): void;
}
