export {
  formatDevno,
  guestDevno,
  isDevno,
  parseDevno,
  SET_SIZE,
  SUBCHANNEL_SETS,
  type Devno,
  type DevnoParts,
} from './devno.js';
export { lowestFreeDevno } from './free-devno.js';
