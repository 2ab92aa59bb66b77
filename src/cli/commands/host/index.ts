export { defineHost } from './host.js';
