export {
  compareTranscripts,
  diffMessages,
  diffValues,
  formatDifferences,
  MASKED,
  type Difference,
} from './compare.js';
export {
  formatEntry,
  formatHeader,
  formatTranscript,
  parseTranscript,
  type Transcript,
  type TranscriptEntry,
  type TranscriptHeader,
} from './format.js';
export { machineName } from './machine-name.js';
export {
  createPlayer,
  TranscriptMismatchError,
  type PlayerOptions,
  type TranscriptPlayer,
} from './player.js';
export {
  recordSessions,
  type RecordedSessions,
  type RecordSessionsOptions,
} from './record-sessions.js';
export { recordTransport, type RecorderOptions } from './recorder.js';
export {
  replaySessions,
  type ReplayedSessions,
  type ReplaySessionsOptions,
} from './replay-sessions.js';
export { createMask } from './secrets.js';
export { splitSessions } from './sessions.js';
