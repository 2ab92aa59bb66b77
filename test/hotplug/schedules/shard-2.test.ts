import { runShard } from './shard.js';

runShard(2);
