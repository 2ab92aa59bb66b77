import { changeWords } from '../argument-changes.js';
import { parseCommandLine } from '../command-line.js';
import type { PrintBackend } from './backend.js';

/** NixOS: the configuration is declared, and a file that anybody else writes is gone at the next switch. */
export const nixos: PrintBackend = {
  kind: 'print',
  isDeclared: true,
  name: 'nixos',
  imageManaged: true,
  async detect(host) {
    return host.exists('/etc/NIXOS');
  },
  async read(host) {
    const [line = ''] = await Promise.all([host.readAttribute('/proc/cmdline').catch(() => '')]);
    return { words: parseCommandLine(line) };
  },
  print(changes) {
    const words = changeWords([], changes).map((word) =>
      JSON.stringify(word).replaceAll('${', '\\${'),
    );
    return [
      '{',
      `  boot.kernelParams = [ ${words.join(' ')} ];`,
      '  boot.initrd.kernelModules = [ "vfio_pci" "vfio" "vfio_iommu_type1" ];',
      '}',
    ].join('\n');
  },
};
