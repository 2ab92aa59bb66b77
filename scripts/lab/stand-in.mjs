// A real QEMU that takes one device for another: for what no machine without the hardware can have. What is
// recorded of it is synthetic, and says so.
import { JsonFramer } from 'qmplug/qmp';

/**
 * @typedef {object} StandIn
 * @property {string} driver that the controller names: `vfio-ccw`
 * @property {string} played by this driver of QEMU: `virtio-rng-ccw`
 * @property {string} inner QOM child of the player that the other driver has not: `virtio-backend`
 */

/**
 * The monitor of a QEMU that seems to have `driver`. The players get the place that was asked for, and what
 * the controller said else is told back when it reads it.
 *
 * @param {import('qmplug/qmp').QmpTransport} transport
 * @param {StandIn} standIn
 * @returns {import('qmplug/qmp').QmpTransport}
 */
export function withStandIn(transport, { driver, played, inner }) {
  /** Properties by id, as the controller gave them. @type {Map<string, Record<string, unknown>>} */
  const given = new Map();
  /** What a command in flight is to be answered. @type {Map<unknown, unknown>} */
  const answers = new Map();

  /** @param {string} text */
  const outwards = (text) => {
    const request = JSON.parse(text);
    const { execute, arguments: args, id } = request;
    if (execute === 'device_add' && args.driver === driver) {
      const { id: name, bus, devno, ...rest } = args;
      given.set(name, rest);
      request.arguments = { driver: played, id: name, bus, devno };
    }
    if (execute === 'qom-get') {
      const value = given.get(args.path.split('/').at(-1))?.[args.property];
      if (value !== undefined) answers.set(id, value);
    }
    return `${JSON.stringify(request)}\r\n`;
  };

  /** @param {string} text @returns {string | undefined} */
  const inwards = (text) => {
    const message = JSON.parse(text.replaceAll(played, driver));
    if (message.event === 'DEVICE_DELETED' && message.data.path.endsWith(`/${inner}`)) {
      return undefined;
    }
    if (!answers.has(message.id)) return JSON.stringify(message);
    const value = answers.get(message.id);
    answers.delete(message.id);
    return JSON.stringify({ return: value, id: message.id });
  };

  return {
    address: transport.address,
    send: (data) => transport.send(Buffer.from(outwards(Buffer.from(data).toString()))),
    start: (handlers) => {
      const framer = new JsonFramer((text) => {
        const line = inwards(text);
        if (line !== undefined) handlers.onData(Buffer.from(`${line}\r\n`));
      });
      transport.start({ ...handlers, onData: (data) => framer.push(data) });
    },
    close: () => transport.close(),
  };
}
