import type { Wish } from './wish.js';

/** What earlier recipes left behind, and what other managers of devices keep here: told, never touched. */
export const artefacts: Wish = (_desired, { artefacts: left, claims }) => ({
  notes: [
    ...left.map((path) => ({
      item: 'artefact',
      text: `${path} may be left of an earlier recipe; to have it removed: qmplug host adopt FILE ${path}`,
    })),
    ...claims.map((path) => ({ item: 'claim', text: `${path}: another manager claims devices` })),
  ],
});
