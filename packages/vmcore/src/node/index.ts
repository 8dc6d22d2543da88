export { type OpenOptions, openVmcore } from './open-vmcore.ts';
