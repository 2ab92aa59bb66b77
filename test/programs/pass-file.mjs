// Tries to hand /dev/null to a QEMU, and prints what came of it and of the command after, in one JSON document.
//
//   node pass-file.mjs MONITOR
import { open } from 'node:fs/promises';
import { connectQmp, getFd } from '../../dist/qmp/index.js';

const session = await connectQmp(process.argv[2]);
const obstacle = await session.fileObstacle();
const file = await open('/dev/null');
const error = await getFd(session, 'null', file).then(
  () => undefined,
  ({ name, code, remedy }) => ({ name, code, remedy }),
);
await file.close();
const status = await session.execute('query-status');
await session.close();
process.stdout.write(JSON.stringify({ obstacle, error, status }));
