import type { Rights } from '@heki/hypervisor';
import type { Vcpu } from '@heki/vcpu';
import { directAddress, userAddress } from './tiny-guest.ts';

/** What the kernel's accesses to a frame really do, on one processor. */
export function probe(vcpu: Vcpu, frame: number): Rights {
  const cpl = (level: 0 | 3): void => {
    vcpu.registers.cpl = level;
  };
  const va = directAddress(frame);
  const read = vcpu.load(va, 4);
  const write = vcpu.store(directAddress(frame, 0x800), 4, 0n);
  const fetch = vcpu.fetch(va, 1);
  cpl(3);
  const user = vcpu.fetch(userAddress(frame), 1);
  cpl(0);
  const did = (outcome: { readonly kind: string; readonly absent?: true }): boolean =>
    outcome.kind === 'done' && outcome.absent !== true;
  return { read: did(read), write: did(write), supervisorExecute: did(fetch), userExecute: did(user) };
}
