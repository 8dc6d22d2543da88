import type { Vcpu } from '@heki/vcpu';
import { CR0, CR4 } from '@heki/x86';
import type { Property } from '../machine.ts';
import { ALIAS, FRAMES } from './frames.ts';
import { agrees, allowedRights, effective, exceeds, isMemory, WATCHED_FRAMES } from './ledger.ts';
import { probe } from './probe.ts';
import type { Scene } from './scene.ts';
import { textOf } from './text-of.ts';

/** What is held against a backend. P5, the guest's own counters, is held against its core. */
export const BACKEND_PROPERTIES: readonly Property[] = [
  { id: 'P1', says: 'no page is writable and executable by the kernel unless that was granted' },
  { id: 'P2', says: 'no access does more than was granted last' },
  { id: 'P3', says: 'the rights of an immutable page stay' },
  { id: 'P4', says: 'no guest harms its host' },
  { id: 'P6', says: 'the kernel executes only bytes that were approved' },
  { id: 'P7', says: 'the address of the text leads to the text' },
  { id: 'P8', says: 'an access that was granted completes' },
  { id: 'P9', says: 'answers, rights and pins are those of a small model that goes page by page' },
  { id: 'P10', says: 'a request that fails leaves nothing changed, and one that succeeds is in force' },
  { id: 'P11', says: 'a processor starts again after INIT, and after a reset the next kernel' },
  { id: 'P12', says: 'the bytes of a page that may not be written stay' },
  { id: 'P13', says: 'what is saved and restored, here or elsewhere, is enforced as before' },
  { id: 'CR', says: 'a bit of a control register that was pinned stays set' },
];

/**
 * Which properties what is enforced breaks, whatever processors have cached.
 *
 * @param seen what was looked at is put here as text, of a machine that cannot tell where it is
 */
export function observeRights({ guest, ledger }: Scene, seen?: string[]): Set<string> {
  const { vm, capabilities } = guest;
  const fallen = new Set<string>();
  const state = vm.save();
  seen?.push(textOf(state));
  if (state !== undefined) {
    const isPinned = (state.cr0 & CR0.WP) !== 0n && (state.cr4 & CR4.SMEP) !== 0n;
    if (isPinned !== ledger.pinned) fallen.add('P9');
  }
  for (const frame of WATCHED_FRAMES) {
    if (!isMemory(ledger, frame)) continue;
    const rights = effective(vm, frame);
    const allowed = allowedRights(ledger, capabilities, frame);
    seen?.push(textOf(rights));
    if (exceeds(rights, allowed)) fallen.add('P2');
    if (!agrees(rights, allowed)) fallen.add('P9');
    const isFixed =
      state?.ranges.some((range) => range.immutable === true && range.start <= frame && frame < range.end) ===
      true;
    if (state !== undefined && isFixed !== ledger.immutable.has(frame)) fallen.add('P9');
  }
  return fallen;
}

/** Which properties a processor breaks. The machine is used up: accesses fill translation caches and second-level tables. */
export function observeProcessor({ guest, ledger }: Scene, vcpu: Vcpu, seen?: string[]): Set<string> {
  const { capabilities } = guest;
  const fallen = new Set<string>();
  seen?.push(`${vcpu.halted?.kind}`);
  if (vcpu.halted !== undefined) return fallen;
  for (const frame of FRAMES) {
    const rights = probe(guest, vcpu, frame);
    const allowed = allowedRights(ledger, capabilities, frame);
    seen?.push(textOf(rights));
    if (exceeds(rights, allowed)) fallen.add('P2');
    if (exceeds(allowed, rights)) fallen.add('P8');
    if (rights.userExecute !== allowed.userExecute) fallen.add('P9');
    const both = rights.write && rights.supervisorExecute;
    const granted = ledger.granted.get(frame);
    if (ledger.asked && both && !(granted?.write === true && granted.supervisorExecute)) fallen.add('P1');
    const kept = ledger.immutable.get(frame);
    if (
      kept !== undefined &&
      (kept.write !== rights.write || kept.supervisorExecute !== rights.supervisorExecute)
    )
      fallen.add('P3');
  }
  if (seen !== undefined && ledger.aliased) seen.push(textOf(probe(guest, vcpu, ALIAS)));
  return fallen;
}
