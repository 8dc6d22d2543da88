export type { HvDecoded, HvWireFault } from './error.ts';
export * from './hypercall.ts';
export * from './intercept-message.ts';
export * from './lvbs.ts';
export * from './protection-mask.ts';
export * from './register.ts';
export * from './vtl.ts';
