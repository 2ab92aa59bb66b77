export { applyEdit, changesOf, revertEdit, type FileEdit } from './edit.js';
