export { type OpenOptions, openVmcore } from './open-vmcore.ts';
export { isWebAddress, shownWebAddress } from './web/web-address.ts';
