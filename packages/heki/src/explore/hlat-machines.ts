import type { KvmOptions } from '@heki/kvm';

/** KVM with more or less of VT-rp. */
interface HlatMachine {
  readonly hlat?: NonNullable<KvmOptions['hlat']>;
  readonly title: string;
}

export const HLAT_MACHINES: ReadonlyMap<string, HlatMachine> = new Map([
  ['hlat', { hlat: true, title: 'KVM with HLAT, paging-write and guest-paging verification' }],
  ['hlat-off', { title: 'KVM without HLAT' }],
  [
    'hlat-unverified',
    { hlat: { verification: false }, title: 'KVM with HLAT, without guest-paging verification' },
  ],
  [
    'hlat-paging-write-everywhere',
    { hlat: { pagingWrite: 'everywhere' }, title: 'KVM with HLAT, and paging-write access to every frame' },
  ],
]);
