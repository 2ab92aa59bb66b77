import type { Logger } from '../index.js';
import { silentLogger } from '../logger.js';
import type { Output } from './output.js';

/**
 * Prints which devices a description was found to mean, and what there is to know of them. Of a device that was named
 * there is nothing to say, and all else the commands tell themselves.
 */
export function selectionLog(output: Output): Logger {
  return {
    ...silentLogger,
    info(details, message) {
      if ('selector' in details && 'explicit' in details && details.explicit === false) {
        output.note(message);
      }
    },
    warn(details, message) {
      if ('selector' in details) output.note(message);
    },
  };
}
