export { isLiveGuest, type OpenOptions, openSources, openVmcore } from './open-vmcore.ts';
export { isWebAddress, shownWebAddress } from './web/web-address.ts';
