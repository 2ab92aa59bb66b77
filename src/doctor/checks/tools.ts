import { listProcesses, readCommand } from '../../host/process.js';
import { readAttribute } from '../../host/reading.js';
import { isSameDriver } from '../../host/vfio-drivers.js';
import type { DeviceCheck, DeviceReads, Subject } from '../check.js';
import { fail, ok, seen, unknownAnswer, warn, type Evidence } from '../finding.js';
import { findLibvirtDevices } from '../read-libvirt.js';
import { journal, reservation } from './daemon.js';

/** Programs that move GPUs between drivers by themselves; names are cut after 15 characters. */
const SWITCHERS: Readonly<Record<string, string>> = {
  'switcheroo-cont': 'switcheroo-control',
  supergfxd: 'supergfxd',
  'optimus-manager': 'optimus-manager',
  bumblebeed: 'bumblebeed',
  'nvidia-powerd': 'nvidia-powerd',
};
const DISPLAY = 0x03;

/** Someone else who binds and unbinds the device. */
interface Manager {
  readonly name: string;
  readonly remedy: string;
  /** The driver it wants for the device; undefined where it has none in mind. */
  readonly driver: string | undefined;
  readonly read: Evidence;
}

const conflict: DeviceCheck = {
  id: 'tools.conflict',
  about: 'whether other programs bind and unbind the device: driverctl, libvirt, GPU switchers',
  needs: 'device',
  needsRoot: true,
  async run(reads) {
    const { bdf, record } = reads;
    const managers = [
      ...(await findDriverctl(reads)),
      ...(await findLibvirt(reads)),
      ...(await findSwitchers(reads)),
    ];
    const [first] = managers;
    if (first === undefined) return ok('nobody', seen(`/etc/driverctl.d/pci-${bdf}`, 'absent'));
    const names = managers.map(({ name }) => name).join(', ');
    const read = managers.map((each) => each.read);
    if (!record.driverOverride.known)
      return unknownAnswer(record.driverOverride.reason, undefined, ...read);
    const override = record.driverOverride.value;
    const beaten = managers.find(
      ({ driver }) =>
        driver !== undefined && (override === undefined || !isSameDriver(driver, override)),
    );
    return beaten === undefined
      ? warn(`${names} manages it too`, first.remedy, ...read)
      : fail(
          `two already fight over it: ${beaten.name} wants ${beaten.driver}, and the override is ${override ?? 'none'}`,
          beaten.remedy,
          ...read,
          seen(`/sys/bus/pci/devices/${bdf}/driver_override`, override ?? 'none'),
        );
  },
};

async function findDriverctl({ effects, bdf }: DeviceReads): Promise<readonly Manager[]> {
  const path = `/etc/driverctl.d/pci-${bdf}`;
  const driver = (await readAttribute(effects, path))?.trim();
  if (driver === undefined) return [];
  const read = seen(path, driver);
  return [{ name: 'driverctl', remedy: `driverctl unset-override ${bdf}`, driver, read }];
}

async function findLibvirt({ effects, bdf, vmmPid }: DeviceReads): Promise<readonly Manager[]> {
  const devices = await findLibvirtDevices(effects, bdf);
  return devices
    .filter(({ isManaged, pid }) => isManaged && pid !== vmmPid)
    .slice(0, 1)
    .map(({ domain, path }) => ({
      name: `libvirt (${domain})`,
      remedy: `set managed='no' for it: virsh edit ${domain}`,
      driver: undefined,
      read: seen(path, `managed hostdev ${bdf}`),
    }));
}

async function findSwitchers({ effects, record }: DeviceReads): Promise<readonly Manager[]> {
  const { classCode } = record;
  if (!classCode.known || classCode.value >>> 16 !== DISPLAY) return [];
  const pids = await listProcesses(effects);
  const running = await Promise.all(
    pids.map(async (pid) => ({ pid, name: SWITCHERS[await readCommand(effects, pid)] })),
  );
  return running.flatMap(({ pid, name }): readonly Manager[] =>
    name === undefined
      ? []
      : [
          {
            name,
            remedy: `systemctl disable --now ${name}`,
            driver: undefined,
            read: seen(`/proc/${pid}/comm`, name),
          },
        ],
  );
}

const libvirt: DeviceCheck = {
  id: 'tools.libvirt',
  about: 'whether a VM of libvirt has the device',
  needs: 'device',
  needsRoot: true,
  async run({ effects, bdf, vmmPid, isQemu }) {
    const devices = await findLibvirtDevices(effects, bdf);
    const others = devices.filter(({ pid }) => !isQemu || pid !== vmmPid);
    const read = devices.map(({ path, isRunning }) =>
      seen(path, isRunning ? 'has it, and runs' : 'has it'),
    );
    const running = others.find(({ isRunning }) => isRunning);
    if (running !== undefined) {
      const remedy = `virsh detach-device ${running.domain} FILE, or: virsh shutdown ${running.domain}`;
      return fail(`the VM ${running.domain} of libvirt has it`, remedy, ...read);
    }
    const mine = new Set(devices.filter(({ isRunning }) => isRunning).map(({ domain }) => domain));
    const defined = others.find(({ domain }) => !mine.has(domain));
    return defined === undefined
      ? ok(
          'no other VM of libvirt',
          ...(read.length === 0 ? [seen('/etc/libvirt/qemu', 'no VM has it')] : read),
        )
      : warn(
          `the VM ${defined.domain} of libvirt takes it when it starts`,
          `take the hostdev out of it: virsh edit ${defined.domain}`,
          ...read,
        );
  },
};

export const toolsSubject: Subject = {
  name: 'other programs',
  checks: [conflict, libvirt],
};

export const ownSubject: Subject = { name: 'qmplug', checks: [journal, reservation] };
