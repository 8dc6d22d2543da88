export * from './abi.ts';
export * from './control-register.ts';
export { HypercallError } from './error.ts';
export * from './exit-payload.ts';
export * from './hypercall.ts';
export * from './page-list.ts';
export * from './page-list-layout.ts';
export * from './permission.ts';
