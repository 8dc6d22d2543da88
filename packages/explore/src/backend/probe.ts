import type { Rights } from '@heki/hypervisor';
import type { Vcpu } from '@heki/vcpu';
import { directAddress, type TinyGuest, userAddress } from './tiny-guest.ts';

/** Where a frame is stored to: nothing else looks there. */
const PROBED = 0x800;

/** What the kernel's accesses to a frame really do, on one processor. A store has been allowed when the bytes are there. */
export function probe(guest: Pick<TinyGuest, 'words'>, vcpu: Vcpu, frame: number): Rights {
  const cpl = (level: 0 | 3): void => {
    vcpu.registers.cpl = level;
  };
  const va = directAddress(frame);
  const read = vcpu.load(va, 4);
  const bytes = guest.words(frame);
  const wanted = (bytes[PROBED / 4] ?? 0) === 0 ? 1 : 0;
  vcpu.store(directAddress(frame, PROBED), 4, BigInt(wanted));
  const fetch = vcpu.fetch(va, 1);
  cpl(3);
  const user = vcpu.fetch(userAddress(frame), 1);
  cpl(0);
  const did = (outcome: { readonly kind: string; readonly absent?: true }): boolean =>
    outcome.kind === 'done' && outcome.absent !== true;
  return {
    read: did(read),
    write: bytes[PROBED / 4] === wanted,
    supervisorExecute: did(fetch),
    userExecute: did(user),
  };
}
