import type { AddDevice } from '../plan/steps.js';
import type { PciBusInfo } from '../qmp/query-pci.js';
import { liveFit } from './live-fit.js';
import type { AttachWarning } from './requests.js';
import { findById } from './status.js';

/** What is to be said of devices that are in, port by port, from one look at the guest's buses. */
export function warningsOf(
  added: readonly AddDevice[],
  pci: readonly PciBusInfo[],
): readonly AttachWarning[] {
  const ports = new Map<string, AddDevice[]>();
  for (const step of added) ports.set(step.bus, [...(ports.get(step.bus) ?? []), step]);
  return [...ports].flatMap(([bus, steps]) => {
    const ids = steps.map(({ id }) => id);
    return [...windowWarnings(pci, bus, ids), ...bootWarnings(pci, bus, ids)];
  });
}

function windowWarnings(
  pci: readonly PciBusInfo[],
  bus: string,
  ids: readonly string[],
): readonly AttachWarning[] {
  const fit = liveFit(pci, bus, ids);
  const names = ids.join(', ');
  switch (fit?.kind) {
    case 'unknown':
      return [
        {
          code: 'window-unknown',
          message: `whether ${names} fits ${bus} cannot be told yet: ${fit.reason}`,
        },
      ];
    case 'does-not-fit':
      return [{ code: 'no-window', message: `${names} does not fit ${bus}: ${fit.arithmetic}` }];
    default:
      return [];
  }
}

/** A bus without a number: no operating system has looked at it yet. */
function bootWarnings(
  pci: readonly PciBusInfo[],
  bus: string,
  ids: readonly string[],
): readonly AttachWarning[] {
  if (findById(pci, bus)?.bridge?.secondaryBus !== 0) return [];
  return [
    {
      code: 'guest-booting',
      message: `the guest has not booted; it may give ${ids.join(', ')} back while it does`,
    },
  ];
}
