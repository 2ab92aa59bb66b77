import type { HostEffects } from '../host/effects.js';

export interface Cpu {
  readonly kind: 'intel' | 'amd' | 'arm' | 's390' | 'ppc' | 'other';
  /** What the kernel names `flags`, on arm64 and s390x `features`. */
  readonly flags: ReadonlySet<string>;
}

/** Vendors of x86, by the firmware table that their IOMMU has; Hygon's is AMD's. */
const KINDS: Readonly<Partial<Record<string, Cpu['kind']>>> = {
  GenuineIntel: 'intel',
  AuthenticAMD: 'amd',
  HygonGenuine: 'amd',
  'IBM/S390': 's390',
};

/** The processor as /proc/cpuinfo tells it: by its vendor, never by its flags. @throws {HostIoError} */
export async function readCpu(effects: HostEffects): Promise<Cpu> {
  const text = await effects.read('/proc/cpuinfo');
  const vendor = /^vendor_id\s*:\s*(\S+)/m.exec(text)?.[1];
  const flags = /^(?:flags|features|Features)\s*:\s*(.*)$/m.exec(text)?.[1] ?? '';
  return { kind: kindOf(vendor, text), flags: new Set(flags.split(/\s+/).filter(Boolean)) };
}

function kindOf(vendor: string | undefined, text: string): Cpu['kind'] {
  if (vendor !== undefined) return KINDS[vendor] ?? 'other';
  if (/^CPU implementer\s*:/m.test(text)) return 'arm';
  return /^cpu\s*:\s*POWER/m.test(text) ? 'ppc' : 'other';
}

export const isX86 = ({ kind }: Cpu) => kind === 'intel' || kind === 'amd';

/** The bit that hypervisors set for their guests: CPUID 1, ECX bit 31 (`X86_FEATURE_HYPERVISOR`, Linux 6.12). */
export const isVirtual = ({ flags }: Cpu) => flags.has('hypervisor');
