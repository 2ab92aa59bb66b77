// Records a scenario with a real device of a real kernel with iommufd: everything runs in the nested VFIO lab.
import assert from 'node:assert/strict';
import { parseJson } from 'qmplug';
import { findIommufdKernel } from './iommufd-kernel.mjs';
import { findQemu } from './qemu-versions.mjs';
import { bootVfioHost } from './vfio-host.mjs';

const RECORDING_MS = 300_000;

/** @typedef {import('./vfio-host.mjs').VfioHost} VfioHost */

/** A host that is booted for the first scenario that needs it. */
export class RecordingHost {
  /** @type {Promise<VfioHost> | undefined} */
  #host;

  /** Why there can be none; undefined where nothing is missing. */
  missing() {
    return findIommufdKernel() ? undefined : 'no kernel with iommufd; run scripts/setup.sh iommufd';
  }

  /**
   * @template T
   * @param {import('./qemu-versions.mjs').QemuVersion} version
   * @param {import('./qemu.mjs').QemuOptions} options
   * @param {(vm: import('./inner-qemu.mjs').InnerQemu) => Promise<T>} work
   */
  async withQemu(version, options, work) {
    const kernel = findIommufdKernel();
    const binary = findQemu(version);
    assert.ok(kernel && binary, 'no kernel with iommufd, or no QEMU; run scripts/setup.sh');
    this.#host ??= bootVfioHost({ kernel, devices: ['rng', 'testdev'] });
    const host = await this.#host;
    const vm = await host.startQemu({ ...options, binary, paused: true });
    try {
      return await work(vm);
    } finally {
      await vm.kill();
    }
  }

  /**
   * @param {string} scenario its name
   * @param {import('./inner-qemu.mjs').InnerQemu} vm
   * @returns {Promise<{ run: import('../../test/replay/run-scenario.mjs').Run,
   *   entries: readonly import('qmplug/testing').TranscriptEntry[], faults: readonly string[] }>}
   */
  async record(scenario, { qmpPath, otherQmpPath, pid }) {
    assert.ok(this.#host);
    const { stdout, stderr } = await (
      await this.#host
    ).run(
      ['node', 'test/programs/record-scenario.mjs', scenario, qmpPath, otherQmpPath, String(pid)],
      {
        deadlineMs: RECORDING_MS,
      },
    );
    if (stdout === '') throw new Error(stderr);
    // Large integers stand in what QEMU said alone.
    const { entries } = /** @type {any} */ (parseJson(stdout));
    return { ...JSON.parse(stdout), entries };
  }

  async close() {
    await (await this.#host)?.kill();
  }
}
