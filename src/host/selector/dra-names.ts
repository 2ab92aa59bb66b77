/** Prefix of the attributes that Kubernetes names for all drivers of devices. */
const STANDARD = 'resource.kubernetes.io/';

/**
 * What the attributes of Kubernetes' Dynamic Resource Allocation are called here. Their values are spelled alike.
 * Source: k8s.io/dynamic-resource-allocation/deviceattribute; numaNode as drivers publish it.
 */
const FIELDS: ReadonlyMap<string, string> = new Map([
  ['pciBusID', 'bdf'],
  ['pcieRoot', 'root'],
  ['numaNode', 'numa'],
]);

/** The field that a name stands for; any other name is its own. What is written out is always the field. */
export function canonicalField(name: string): string {
  const bare = name.startsWith(STANDARD) ? name.slice(STANDARD.length) : name;
  return FIELDS.get(bare) ?? name;
}
