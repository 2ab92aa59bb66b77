export {
  compareTranscripts,
  diffMessages,
  diffValues,
  formatDifferences,
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
export {
  createPlayer,
  TranscriptMismatchError,
  type PlayerOptions,
  type TranscriptPlayer,
} from './player.js';
export { recordTransport, type RecorderOptions } from './recorder.js';
