import type { JsonValue } from '../../json.js';
import type { ColdDevice, QemuConfig } from './config.js';

/** The command line of a real QEMU with the same machine, ports and monitors. */
export function argumentsOf(config: QemuConfig): readonly string[] {
  const memoryMib = (config.memoryBytes ?? 256n << 20n) >> 20n;
  return [
    ...(config.name === undefined ? [] : ['-name', config.name]),
    ...(config.uuid === undefined ? [] : ['-uuid', config.uuid]),
    '-machine',
    `${config.machine ?? 'q35'},accel=tcg`,
    '-m',
    memoryMib.toString(),
    '-nodefaults',
    '-display',
    'none',
    ...(config.startPaused === true ? ['-S'] : []),
    ...(config.hotplug === 'native'
      ? ['-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off']
      : []),
    ...(config.monitors ?? []).flatMap((address) => ['-qmp', `${address},server=on,wait=off`]),
    ...(config.devices ?? []).flatMap((device) => ['-device', deviceArgument(device)]),
  ];
}

function deviceArgument({ driver, ...properties }: ColdDevice): string {
  const parts = Object.entries(properties).map(
    ([name, value]) => `${name}=${propertyText(value ?? '').replaceAll(',', ',,')}`,
  );
  return [driver, ...parts].join(',');
}

function propertyText(value: JsonValue): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return typeof value === 'object' ? '' : String(value);
}

const SWITCHES = new Set(['-nodefaults', '-S', '-no-user-config', '-nographic', '-enable-kvm']);

/**
 * Reads the options the simulator knows from a command line; others are left alone. Boot plans are
 * tried on the simulator with it.
 */
export function configFromArguments(args: readonly string[]): QemuConfig {
  const devices: ColdDevice[] = [];
  const monitors: string[] = [];
  const found: { -readonly [K in keyof QemuConfig]: QemuConfig[K] } = {};
  for (let at = 0; at < args.length; at++) {
    const option = args[at] ?? '';
    if (option === '-S') found.startPaused = true;
    if (SWITCHES.has(option)) continue;
    const value = args[++at] ?? '';
    if (option === '-device') devices.push(readDevice(value));
    else if (option === '-qmp') monitors.push(value.replace(/,.*$/, ''));
    else if (option === '-name') found.name = value.replace(/^guest=/, '').replace(/,.*$/, '');
    else if (option === '-uuid') found.uuid = value;
    else if (option === '-m') found.memoryBytes = readMemory(value);
    else if (option === '-global' && /acpi-pci-hotplug-with-bridge-support=off$/.test(value)) {
      found.hotplug = 'native';
    }
  }
  return { ...found, devices, ...(monitors.length === 0 ? {} : { monitors }) };
}

/** `driver,key=value,...` with doubled commas, or a JSON object. Values stay text, as QemuOpts has them. */
function readDevice(text: string): ColdDevice {
  // QEMU reads its command line's JSON by the same rules; the driver is checked when it is plugged.
  if (text.startsWith('{')) return JSON.parse(text) as ColdDevice;
  const [driver = '', ...pairs] = text
    .split(/(?<!,),(?!,)/)
    .map((part) => part.replaceAll(',,', ','));
  const properties = pairs.map((pair): [string, string] => {
    const at = pair.indexOf('=');
    return at === -1 ? [pair, 'on'] : [pair.slice(0, at), pair.slice(at + 1)];
  });
  return { driver, ...Object.fromEntries(properties) };
}

function readMemory(text: string): bigint {
  const [, digits = '128', unit = 'M'] = /^(?:size=)?(\d+)([KMGT]?)/i.exec(text) ?? [];
  const shift = { K: 10n, M: 20n, G: 30n, T: 40n }[unit.toUpperCase()] ?? 20n;
  return BigInt(digits) << shift;
}
