import { isJsonObject, parseJson } from '../json.js';
import type { HostEffects } from './effects.js';
import { isMdevUuid } from './mdev-name.js';
import { ifPresent, listOrNone } from './reading.js';

/** A mediated device that mdevctl is to make, whether it is there or not. */
export interface MdevDefinition {
  readonly uuid: string;
  /** As under /sys/class/mdev_bus. */
  readonly parent: string;
  /** Undefined where the file does not tell. */
  readonly type: string | undefined;
  /** `auto`: with its parent; `manual`: when somebody asks. */
  readonly start: 'auto' | 'manual' | undefined;
}

/** mdevctl(8): /etc/mdevctl.d/<parent>/<uuid>. */
const DIRECTORY = '/etc/mdevctl.d';

/** What mdevctl defines, by parent and UUID. */
export async function listDefinitions(effects: HostEffects): Promise<readonly MdevDefinition[]> {
  const definitions: MdevDefinition[] = [];
  for (const parent of [...(await listOrNone(effects, DIRECTORY))].sort()) {
    // Beside the parents there are folders of scripts, which have no UUIDs in them.
    for (const uuid of [...(await listOrNone(effects, `${DIRECTORY}/${parent}`))].sort()) {
      if (!isMdevUuid(uuid)) continue;
      const text = await ifPresent(effects.read(`${DIRECTORY}/${parent}/${uuid}`));
      definitions.push({ uuid: uuid.toLowerCase(), parent, ...read(text ?? '') });
    }
  }
  return definitions;
}

function read(text: string): Pick<MdevDefinition, 'type' | 'start'> {
  try {
    const value = parseJson(text);
    if (!isJsonObject(value)) return { type: undefined, start: undefined };
    const { mdev_type: type, start } = value;
    return {
      type: typeof type === 'string' ? type : undefined,
      start: start === 'auto' || start === 'manual' ? start : undefined,
    };
  } catch {
    return { type: undefined, start: undefined };
  }
}
