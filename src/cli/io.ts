/** Where text goes. Node's streams fit as they are. */
export interface TextSink {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  /** Characters to a line, where it is a terminal. */
  readonly columns?: number | undefined;
}

/** Everything the command line has of its process, so that tests can bring their own. */
export interface CliIo {
  /** Arguments without the program's name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  /** Stops the waiting; what was begun is finished by a later command. */
  readonly signal: AbortSignal;
}
