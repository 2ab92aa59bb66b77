import { runShard } from './shard.js';

runShard(1);
