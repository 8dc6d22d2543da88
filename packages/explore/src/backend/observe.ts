import { CR0, CR4 } from '@heki/x86';
import type { Property } from '../machine.ts';
import { ALIAS, DATA, TEXT } from './frames.ts';
import { agrees, allowedRights, effective, exceeds, isMemory, WATCHED_FRAMES } from './ledger.ts';
import { probe } from './probe.ts';
import type { Scene } from './scene.ts';
import { textOf } from './text-of.ts';
import type { Twin } from './twin.ts';

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

const FRAMES = [TEXT, DATA];

/**
 * Which properties do not hold in a state. The machine is used up: accesses fill translation caches and second-level tables.
 *
 * @param twin where P13 is seen; `undefined` when nobody wants to know
 * @param seen what was looked at is put here as text, of a machine that cannot tell where it is
 */
export function observe(scene: Scene, twin: Twin | undefined, seen?: string[]): void {
  const { guest, ledger, fallen } = scene;
  const { vm, vcpus, capabilities } = guest;
  const state = vm.save();
  seen?.push(textOf(state));
  if (guest.hostHarmed) fallen.add('P4');
  if (twin?.isAlike(scene) === false) fallen.add('P13');
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

  for (const vcpu of vcpus) {
    seen?.push(`${vcpu.halted?.kind}`);
    if (vcpu.halted !== undefined) continue;
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
    if (ledger.aliased) seen?.push(textOf(probe(guest, vcpu, ALIAS)));
  }
}
