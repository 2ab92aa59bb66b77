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
}

export interface TransportHandlers {
  onData(data: Uint8Array): void;
  onClose(reason?: Error): void;
}
