export { initHekiOnKvm, type KvmDriverOptions } from './kvm.ts';
