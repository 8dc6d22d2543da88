export * from './access.ts';
export * from './altp2m.ts';
export { type XenDecoded, XenError, type XenWireFault } from './error.ts';
export * from './hypercall.ts';
export * from './mem-access.ts';
export * from './ring.ts';
export * from './vm-event.ts';
