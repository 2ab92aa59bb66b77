import {
  escapeControl,
  formatSize,
  type AttachmentReport,
  type AttachWarning,
  type BarReport,
  type FunctionReport,
  type RouteReport,
  type StepReport,
} from '../index.js';

/** A step as the documents show it; `planned` where it was not run. */
export interface StepLine {
  readonly kind: string;
  readonly outcome: StepReport['outcome'] | 'planned';
  readonly ms: number;
}

/** A function as the documents show it; what a dry run cannot know has no value. */
export type FunctionLine = Omit<FunctionReport, 'guestPath'> & {
  readonly guestPath: string | undefined;
};

export interface AttachDocument {
  readonly attachment: Omit<AttachmentReport, 'functions'> & {
    readonly functions: readonly FunctionLine[];
  };
  readonly steps: readonly StepLine[];
  /** Left out where there are none. */
  readonly warnings?: readonly AttachWarning[];
}

export function renderAttach({ attachment, steps }: AttachDocument): string {
  const { already, functions, route } = attachment;
  const planned = steps.some(({ outcome }) => outcome === 'planned');
  const done = already ? 'already attached' : planned ? 'would attach' : 'attached';
  return [
    ...functions.flatMap((fn) => [`${done} ${describeFunction(fn)}`, ...renderBars(fn.bars)]),
    ...(route === undefined ? [] : [`  ${describeRoute(route)}`]),
    ...renderSteps(steps),
  ].join('\n');
}

const ROUTES = {
  group: 'through its IOMMU group',
  iommufd: 'through iommufd',
  descriptors: 'through iommufd, by descriptors',
} as const satisfies Record<RouteReport['kind'], string>;

/** `through its IOMMU group: the host has no /dev/iommu` */
export function describeRoute({ kind, why }: RouteReport): string {
  return escapeControl(why === undefined ? ROUTES[kind] : `${ROUTES[kind]}: ${why}`);
}

/** `vfio_device_17_0 (0000:3b:00.0) in rp0: 02/00, 0000:01:00.0` */
export function describeFunction({ id, host, port, guestPath, guestBdf }: FunctionLine): string {
  const from = host === undefined ? '' : ` (${host})`;
  const place = [guestPath, guestBdf].filter((each) => each !== undefined).join(', ');
  const where = port === '' ? 'in no port' : `in ${port}`;
  return escapeControl(`${id}${from} ${where}${place === '' ? '' : `: ${place}`}`);
}

export function renderBars(bars: readonly BarReport[]): readonly string[] {
  return bars.map(({ bar, sizeBytes, address }) => {
    const at = address === undefined ? 'not placed by the guest' : `at 0x${address.toString(16)}`;
    return `  BAR ${bar}: ${formatSize(sizeBytes)} ${at}`;
  });
}

export function renderSteps(steps: readonly StepLine[]): readonly string[] {
  return steps.map(({ kind, outcome, ms }) =>
    outcome === 'planned' ? `  ${kind}` : `  ${kind}: ${outcome} (${ms.toFixed(1)} ms)`,
  );
}
