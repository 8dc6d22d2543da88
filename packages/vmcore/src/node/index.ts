export { isLiveGuest, type OpenOptions, openSources, openVmcore } from './open-vmcore.ts';
export { s3Version } from './web/s3-version.ts';
export { isWebAddress, shownWebAddress, webAddressesOf } from './web/web-address.ts';
