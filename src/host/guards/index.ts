export { findUses } from './find-uses.js';
