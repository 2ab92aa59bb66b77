import { openVm, recoverHost, type Environment, type Vm } from '../../../src/index.js';
import type { QmpTransport } from '../../../src/qmp/transport.js';
import type { ControllerProcess, TaskOutcome } from '../../../src/simulator/index.js';
import { identifyVm } from '../../../src/vm/identity.js';
import { environmentOf } from '../simulated.js';
import type { Command } from './schedule.js';
import { HOST_FUNCTIONS, monitorsOf, type Stage } from './stage.js';
import type { Watch } from './watch.js';

/** Where a defect can be planted: in a process's environment, or between it and a monitor. */
export interface Plant {
  environment?(environment: Environment, process: ControllerProcess): Environment;
  transport?(transport: QmpTransport, process: ControllerProcess): QmpTransport;
}

/** A process of the library that lives on between commands, with its VMs open. */
interface Daemon {
  readonly process: ControllerProcess;
  readonly vms: Map<0 | 1, Promise<Vm>>;
}

/** The processes that run the commands of a schedule. */
export class Actors {
  readonly #stage: Stage;
  readonly #watch: Watch;
  readonly #plant: Plant;
  #daemon: Daemon | undefined;

  constructor(stage: Stage, watch: Watch, plant: Plant) {
    this.#stage = stage;
    this.#watch = watch;
    this.#plant = plant;
  }

  /** Runs a command to its end, whatever that is. `place` tells commands of one moment apart. */
  async run(command: Command, place: number): Promise<TaskOutcome<unknown>> {
    return command.by === 'daemon' ? this.#byDaemon(command) : this.#byProcess(command, place % 2);
  }

  /** Runs work in a process of its own, which ends with it. */
  async inProcess<T>(
    work: (open: (vm: 0 | 1) => Promise<Vm>, environment: Environment) => Promise<T>,
    { monitor = 0, killAt }: { monitor?: number; killAt?: Command['killAt'] } = {},
  ): Promise<TaskOutcome<T>> {
    const process = this.#stage.world.startController();
    if (killAt !== undefined) process.killAt(killAt.operation, killAt.moment);
    const environment = this.#environment(process);
    const outcome = await process.run(() =>
      work((vm) => this.#open(process, environment, vm, monitor), environment),
    );
    process.kill();
    return outcome;
  }

  /** The daemon ends too. */
  end(): void {
    this.#daemon?.process.kill();
    this.#daemon = undefined;
  }

  #byProcess(command: Command, monitor: number): Promise<TaskOutcome<unknown>> {
    return this.inProcess(
      async (open, environment) => {
        if (command.kind === 'recover-host') return recoverHost(environment);
        const vm = await open(command.vm);
        const result = await this.#operate(vm, command);
        await vm.close();
        return result;
      },
      { monitor, killAt: command.killAt },
    );
  }

  async #byDaemon(command: Command): Promise<TaskOutcome<unknown>> {
    if (this.#daemon?.process.alive !== true) {
      this.#daemon = { process: this.#stage.world.startController(), vms: new Map() };
    }
    const { process, vms } = this.#daemon;
    const { killAt } = command;
    if (killAt !== undefined) {
      process.killAt(process.operationCount + killAt.operation, killAt.moment);
    }
    const environment = this.#environment(process);
    const outcome = await process.run(async () => {
      if (command.kind === 'recover-host') return recoverHost(environment);
      const opened = vms.get(command.vm) ?? this.#open(process, environment, command.vm, 2);
      vms.set(command.vm, opened);
      return this.#operate(await opened, command);
    });
    // A handle of a VM that has ended, or none at all: the next command opens another.
    if (outcome.kind === 'failed') vms.delete(command.vm);
    return outcome;
  }

  #environment(process: ControllerProcess): Environment {
    const environment = this.#watch.of(process, environmentOf(process));
    return this.#plant.environment?.(environment, process) ?? environment;
  }

  async #open(
    process: ControllerProcess,
    environment: Environment,
    vm: 0 | 1,
    monitor: number,
  ): Promise<Vm> {
    const address = monitorsOf(vm)[monitor] ?? '';
    const identity = await identifyVm(address, environment.effects);
    return openVm(address, {
      environment,
      identity,
      transport: async () => {
        const transport = await process.connect(address);
        return this.#plant.transport?.(transport, process) ?? transport;
      },
    });
  }

  async #operate(vm: Vm, command: Command): Promise<unknown> {
    const { target, members, timeoutMs, waits } = command;
    const options = { timeoutMs, signal: this.#patience(command) };
    const host = target === 'd0' || target === 'd1' ? undefined : HOST_FUNCTIONS[target][0]?.bdf;
    switch (command.kind) {
      case 'attach': {
        const what =
          host === undefined
            ? { id: target, emulate: { driver: 'pci-testdev' } }
            : { device: host, members };
        return vm.attach(waits ? { ...what, wait: 'placed' } : what, options);
      }
      case 'detach':
        return vm.detach(host ?? target, { ...options, wait: waits });
      case 'status':
        return vm.status(options);
      case 'recover':
      case 'recover-host':
        return vm.recover(options);
    }
  }

  #patience({ abortAfterMs }: Command): AbortSignal | undefined {
    if (abortAfterMs === undefined) return undefined;
    const abort = new AbortController();
    this.#stage.world.clock.after(abortAfterMs, () => {
      abort.abort(new Error('the caller lost patience'));
    });
    return abort.signal;
  }
}
