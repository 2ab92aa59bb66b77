import type { DesiredState } from '../desired-state.js';
import type { FileEdit } from '../edits/index.js';
import type { SetupFacts } from '../facts.js';

/** What has to be made anew, or told, after a file has changed. */
export type RefreshName = 'initramfs' | 'boot-menu' | 'udev-kvmfr' | 'systemd' | 'selinux';

/** How much harm a mistake in it could do. */
export type Risk = 'low' | 'boot';

/** A kernel argument that shall be configured. */
export interface ArgumentWish {
  readonly item: string;
  /** As we write it. */
  readonly key: string;
  /** For a list parameter: the elements that must be among its own. */
  readonly value?: string;
  readonly elements?: readonly string[];
}

/** A file, or our part of one, that shall be there. */
export type WantedFile = {
  readonly item: string;
  readonly path: string;
  readonly mode?: number;
  readonly refresh?: readonly RefreshName[];
  /** Whether it only counts from the next boot on. */
  readonly needsReboot?: boolean;
  readonly risk?: Risk;
} & ({ readonly content: string } | { readonly edit: FileEdit });

export interface WantedPair {
  readonly item: string;
  readonly argv: readonly string[];
  readonly inverse: readonly string[];
  readonly present: { readonly argv: readonly string[]; readonly line: string };
}

export interface WantedAttribute {
  readonly item: string;
  readonly path: string;
  readonly value: string;
}

/** An item that cannot be had, or that somebody else's setting contradicts. */
export interface Refusal {
  readonly item: string;
  readonly state: 'conflicting' | 'unmet' | 'unknown';
  readonly reason: string;
  readonly remedy: string;
}

/** What an item is satisfied by without any change of ours. */
export interface Satisfied {
  readonly item: string;
  readonly by: string;
}

/**
 * What the running machine shows once an item is there: a driver, an attribute, a node. Configured is not enough for
 * `ok` where the effect can be seen.
 */
export interface Effect {
  readonly item: string;
  readonly subject: string;
  /** Items that bring it about: while one of them is not there, neither can it be. */
  readonly from: readonly string[];
  readonly holds: boolean;
  /** Where it does not hold although everything for it is there: it takes a boot, or something keeps it away. */
  readonly otherwise: 'pending-reboot' | 'unmet';
  readonly reason: string;
  readonly remedy: string;
}

export interface Note {
  readonly item: string;
  readonly text: string;
}

/** Everything that a part of the desired state calls for on this host. */
export interface Wishes {
  readonly arguments?: readonly ArgumentWish[];
  readonly files?: readonly WantedFile[];
  readonly pairs?: readonly WantedPair[];
  readonly attributes?: readonly WantedAttribute[];
  readonly refused?: readonly Refusal[];
  readonly satisfied?: readonly Satisfied[];
  readonly effects?: readonly Effect[];
  readonly notes?: readonly Note[];
}

/** One part of the desired state as wishes. Pure. */
export type Wish = (desired: DesiredState, facts: SetupFacts) => Wishes;

/** Files whose content tells whose they are. */
export const HEADER = '# Written by qmplug host apply.';

export function mergeWishes(all: readonly Wishes[]): Required<Wishes> {
  return {
    arguments: all.flatMap((each) => each.arguments ?? []),
    files: all.flatMap((each) => each.files ?? []),
    pairs: all.flatMap((each) => each.pairs ?? []),
    attributes: all.flatMap((each) => each.attributes ?? []),
    refused: all.flatMap((each) => each.refused ?? []),
    satisfied: all.flatMap((each) => each.satisfied ?? []),
    effects: all.flatMap((each) => each.effects ?? []),
    notes: all.flatMap((each) => each.notes ?? []),
  };
}
