/** A JSON value in which integers beyond 2^53 are bigints, so that none is ever rounded. */
export type JsonValue =
  null | boolean | number | bigint | string | readonly JsonValue[] | JsonObject;

/** Objects made by our parser have no prototype; `__proto__` is a key like any other. */
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}
