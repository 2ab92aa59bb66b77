import { HEADER, type WantedFile, type Wish } from './wish.js';

/** Lets a service or a user lock memory. A running QEMU's own limit is raised by the attach that needs it. */
export const memlock: Wish = ({ memlock: wanted = [] }) => {
  const units = wanted.flatMap(({ unit, limitBytes }): readonly WantedFile[] =>
    unit === undefined
      ? []
      : [
          {
            item: `memlock.${unit}`,
            path: `/etc/systemd/system/${unit}.d/50-qmplug.conf`,
            content: `${HEADER}\n[Service]\nLimitMEMLOCK=${limitBytes ?? 'infinity'}\n`,
            refresh: ['systemd'],
          },
        ],
  );
  const users = wanted.flatMap(({ user, limitBytes }) => {
    if (user === undefined) return [];
    // KiB (limits.conf(5)).
    const limit = limitBytes === undefined ? 'unlimited' : String((limitBytes + 1023n) / 1024n);
    return [`${user} soft memlock ${limit}`, `${user} hard memlock ${limit}`];
  });
  const path = '/etc/security/limits.d/50-qmplug.conf';
  const content = `${[HEADER, ...users].join('\n')}\n`;
  return {
    files: [...units, ...(users.length === 0 ? [] : [{ item: 'memlock.users', path, content }])],
  };
};
