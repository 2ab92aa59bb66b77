export {
  compareTranscripts,
  diffMessages,
  diffValues,
  formatDifferences,
  MASKED,
  type Difference,
} from './compare.js';
export { checkTranscript, type CheckedTranscript, type TranscriptFinding } from './check.js';
export {
  formatEntry,
  formatHeader,
  formatTranscript,
  parseTranscript,
  type Transcript,
  type TranscriptEntry,
  type TranscriptHeader,
} from './format.js';
export { importLog, type ImportedLog, type ImportOptions } from './import-log.js';
export { LOG_FORMATS, type LogFormat } from './log-formats.js';
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
export { renderTranscript } from './render.js';
export { splitSessions } from './sessions.js';
