/** What holds in every schedule. Each planted defect names the one that it breaks. */
export const INVARIANTS = {
  'under-lock': 'steps of a VM run in the one process that has its lock',
  'hands-off': 'no driver is touched while QEMU has the device open',
  reserved: 'a group that QEMU has open is reserved for that very VM',
  'forward-only': 'what was committed is never undone',
  'nothing-unasked': 'no device leaves the VM that nobody asked for',
  'no-phantom': 'every device in a VM is in the journal',
  'true-answer': 'what a command answered is so in the world',
  'works-undisturbed': 'without a fault no step fails',
  'nobody-kept-out': 'a command that only waits keeps nobody out',
  'errors-are-ours': 'every error has a code',
  recovers: 'once nothing goes wrong any more, recover and detach work',
  ends: 'no command waits for ever',
  'host-restored': 'the host is as it was, byte for byte',
  'one-mapping': 'all devices of the host in a VM share one mapping of its memory',
  'nothing-left': 'no plan, reservation, lock or iommufd object stays behind',
} as const;

export type Invariant = keyof typeof INVARIANTS;

/** An invariant that did not hold. */
export class Violation extends Error {
  readonly invariant: Invariant;

  constructor(invariant: Invariant, seen: string) {
    super(`${invariant} (${INVARIANTS[invariant]}): ${seen}`);
    this.name = 'Violation';
    this.invariant = invariant;
  }
}
