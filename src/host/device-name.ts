const DEVICE =
  /[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi;

/**
 * What an operation is about, so that nothing is queued behind a stuck one: the last device in the data
 * (`bind`, `unbind`, `drivers_probe` name theirs there) or in the path; undefined where none is named.
 */
export function deviceNamedIn(path: string, data = ''): string | undefined {
  const name = data.match(DEVICE)?.at(-1) ?? path.match(DEVICE)?.at(-1);
  return name?.toLowerCase();
}
