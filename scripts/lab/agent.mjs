// The host's end of the line protocol that the lab's /init scripts speak on their second serial port.
//
//   machine -> host   ready                            the machine is up
//                     pci-begin / pci ... / pci-end     the devices, on every change
//                     done ID STATUS [BASE64 OUTPUT]    a command has ended
//   host -> machine   run ID [BASE64 COMMAND]
//                     kill ID
import { Changes } from './deadline.mjs';

/**
 * @typedef {object} PciResource
 * @property {bigint} start
 * @property {bigint} end inclusive, as the kernel prints it; 0 with `start` 0 where there is none
 * @property {bigint} flags IORESOURCE_ bits (include/linux/ioport.h)
 */

/**
 * @typedef {object} PciFunction a PCI function as the machine's own kernel sees it
 * @property {string} bdf canonical
 * @property {number} vendorId
 * @property {number} deviceId
 * @property {number} classCode 24 bits
 * @property {string | undefined} driver
 * @property {readonly PciResource[]} resources lines of its `resource` file: BARs, ROM, windows
 */

/** @typedef {{ status: number, output: string }} Done */

export class Agent {
  #socket;
  #changes = new Changes();
  #text = '';
  #ready = false;
  /** @type {PciFunction[]} */
  #incoming = [];
  /** @type {readonly PciFunction[]} */
  #listing = [];
  #listed = false;
  /** @type {Map<string, Done>} */
  #done = new Map();

  /** @param {import('node:net').Socket} socket */
  constructor(socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', this.#onData);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  /** Ends every wait and leaves the line open, for the next machine on it. */
  detach() {
    this.#socket.off('data', this.#onData).off('error', this.#onError).off('close', this.#onClose);
    this.#onClose();
  }

  /** The last complete listing; empty before the first. */
  get pciDevices() {
    return this.#listing;
  }

  /** Takes nothing that was said so far for the machine's next start. */
  forgetBoot() {
    this.#ready = false;
    this.#listed = false;
    this.#listing = [];
  }

  /** Waits until the machine is up and has listed its devices, of which there may be none.
   * @param {number} deadlineMs @param {() => string} describe */
  async waitUntilReady(deadlineMs, describe) {
    const isReady = () => (this.#ready && this.#listed) || undefined;
    await this.#changes.until(isReady, deadlineMs, describe);
  }

  /**
   * @param {(devices: readonly PciFunction[]) => boolean} matches
   * @param {number} deadlineMs
   */
  async waitForPci(matches, deadlineMs) {
    const look = () => (matches(this.#listing) ? this.#listing : undefined);
    const seen = () => this.#listing.map((device) => device.bdf).join(' ') || 'nothing';
    return this.#changes.until(look, deadlineMs, () => `a change of PCI devices; last: ${seen()}`);
  }

  /** @param {string} line */
  send(line) {
    this.#socket.write(`${line}\n`);
  }

  /** Waits for the end of a command that was sent.
   * @param {string} id @param {number} deadlineMs @param {() => string} describe */
  async waitForDone(id, deadlineMs, describe) {
    return this.#changes.until(() => this.#done.get(id), deadlineMs, describe);
  }

  #onError = (/** @type {Error} */ error) => this.#changes.fail(error);
  #onClose = () => this.#changes.fail(new Error('the machine has ended'));
  #onData = (/** @type {unknown} */ text) => {
    const lines = (this.#text + String(text)).split('\n');
    this.#text = lines.pop() ?? '';
    try {
      for (const line of lines) this.#readLine(line.trim());
      this.#changes.changed();
    } catch (error) {
      this.#changes.fail(new Error('the machine broke the lab protocol', { cause: error }));
    }
  };

  /** @param {string} line */
  #readLine(line) {
    const [verb, ...words] = line.split(' ');
    if (verb === 'ready') this.#ready = true;
    else if (verb === 'pci-begin') this.#incoming = [];
    else if (verb === 'pci') this.#incoming.push(parsePci(words));
    else if (verb === 'pci-end') {
      this.#listing = this.#incoming;
      this.#listed = true;
    } else if (verb === 'done') {
      const [id = '', status = '', output = ''] = words;
      this.#done.set(id, {
        status: Number(status),
        output: Buffer.from(output, 'base64').toString(),
      });
    }
  }
}

/** @param {readonly string[]} words @returns {PciFunction} */
function parsePci([bdf = '', vendor = '', device = '', classCode = '', driver = '', ...resources]) {
  return {
    bdf,
    vendorId: Number(vendor),
    deviceId: Number(device),
    classCode: Number(classCode),
    driver: driver === '-' ? undefined : driver,
    resources: resources.map((resource) => {
      const [start = 0n, end = 0n, flags = 0n] = resource.split('-').map(BigInt);
      return { start, end, flags };
    }),
  };
}
