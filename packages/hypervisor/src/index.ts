export * from './capabilities.ts';
export * from './denial.ts';
export { HypervisorError } from './error.ts';
export * from './event.ts';
export * from './host.ts';
export * from './result.ts';
export * from './rights.ts';
export * from './state.ts';
export * from './virtual-machine.ts';
