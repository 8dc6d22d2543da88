import type { Property } from '../machine.ts';
import type { Scene } from './actions.ts';
import { allowedRights, effective, exceeds } from './ledger.ts';
import { probe } from './probe.ts';
import { ALIAS, DATA, TEXT } from './tiny-guest.ts';

/** What is held against a backend. P5 (the guest's counters) and P9 (a reference model of its own) are not of this search. */
export const BACKEND_PROPERTIES: readonly Property[] = [
  { id: 'P1', says: 'no page is writable and executable by the kernel unless that was granted' },
  { id: 'P2', says: 'no access does more than was granted last' },
  { id: 'P3', says: 'the rights of an immutable page stay' },
  { id: 'P4', says: 'no guest harms its host' },
  { id: 'P6', says: 'the kernel executes only bytes that were approved' },
  { id: 'P7', says: 'the address of the text leads to the text' },
  { id: 'P8', says: 'an access that was granted completes' },
  { id: 'P10', says: 'a request that fails leaves nothing changed, and one that succeeds is in force' },
  { id: 'P11', says: 'a processor starts again after INIT, and after a reset the next kernel' },
  { id: 'P12', says: 'the bytes of a page that may not be written stay' },
  { id: 'P13', says: 'what is saved and restored is enforced as before' },
  { id: 'CR', says: 'a bit of a control register that was pinned stays set' },
];

const FRAMES = [TEXT, DATA];

/**
 * Which properties do not hold in a state. The machine is used up: accesses fill translation caches and second-level tables.
 *
 * @param seen what was looked at is put here as text, of a machine that cannot tell where it is
 */
export function observe(scene: Scene, seen?: string[]): void {
  const { guest, ledger, fallen } = scene;
  const { vm, vcpus, capabilities } = guest;
  seen?.push(textOf(vm.save()));
  if (guest.hostHarmed) fallen.add('P4');

  for (const frame of FRAMES) {
    const rights = effective(vm, frame);
    seen?.push(textOf(rights));
    if (exceeds(rights, allowedRights(ledger, capabilities, frame))) fallen.add('P2');
  }

  for (const vcpu of vcpus) {
    seen?.push(`${vcpu.halted?.kind}`);
    if (vcpu.halted !== undefined) continue;
    for (const frame of FRAMES) {
      const rights = probe(vcpu, frame);
      const allowed = allowedRights(ledger, capabilities, frame);
      seen?.push(textOf(rights));
      if (exceeds(rights, allowed)) fallen.add('P2');
      if (exceeds(allowed, rights)) fallen.add('P8');
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
    if (scene.aliased) seen?.push(textOf(probe(vcpu, ALIAS)));
  }
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? `${each}n` : each));
}
