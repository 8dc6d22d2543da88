import { CR4, EFER } from '@heki/x86';
import type { LabAttack } from '../attack/lab-attack.ts';
import type { Lab } from '../attacker/lab.ts';
import { NOP5 } from '../kernel/functions.ts';
import { MSR_EFER } from './modes.ts';
import { race } from './prepared-race.ts';
import { writable } from './stores.ts';

/** The opcode of a near jump. */
const JUMP_HEAD = 0xe9;

/** Takes the second processor from its start to long mode without SMEP. */
function toLongMode(
  { machine, second }: Lab,
  {
    cr0,
    cr3,
    cr4,
    efer,
  }: Pick<Lab['machine']['kernel']['vcpu']['registers'], 'cr0' | 'cr3' | 'cr4' | 'efer'>,
): void {
  if (((machine.vcpus[1]?.registers.efer ?? EFER.LMA) & EFER.LMA) !== 0n) return;
  second.writeCr(4, cr4 & ~(CR4.SMEP | CR4.PCIDE));
  second.writeCr(3, cr3);
  second.writeMsr(MSR_EFER, efer & ~EFER.LMA);
  second.writeCr(0, cr0);
}

/** Races for what another processor executes, and for how it starts. */
export const PROCESSOR_RACES: readonly LabAttack[] = [
  race({
    attack: {
      name: 'race-torn-patch',
      title:
        'while a static key is switched, store the head of the jump before the tail of the no-op, and run it',
      gains: 'a processor runs an instruction that is neither the old one nor the new one',
      source: 'Linux, text_poke_bp_batch: int3, tail, head, and a wait between them',
      means: [],
      stoppedBy: ['immutable', 'end-of-boot'],
    },
    prepare(lab) {
      const site = lab.places.keySite;
      lab.edit(site, writable);
      const torn = { ran: 0n };
      lab.aims.register('the instruction at the site that ran half patched', () => torn.ran);
      return { site, torn };
    },
    work: (lab, { site }) =>
      void lab.call('static_key_enable', (kernel) => kernel.setStaticKey([site], true)),
    turn({ second }, { site, torn }) {
      second.store(site, 1, BigInt(JUMP_HEAD));
      const [first] = second.run(site).value?.instructions ?? [];
      const bytes = first?.bytes ?? Uint8Array.of();
      if (bytes[0] === JUMP_HEAD && bytes[1] === NOP5[1]) torn.ran = BigInt(JUMP_HEAD);
    },
  }),
  race({
    attack: {
      name: 'race-init-pin',
      title:
        'while the kernel has registers pinned, INIT for the second processor, which goes to long mode without SMEP',
      gains: 'one processor runs without what is pinned',
      source: 'S. Christopherson on Heki v1: INIT (B-H14)',
      means: [],
      // The contract says so: after INIT a pin lets its processor start.
      stoppedBy: [],
    },
    prepare(lab) {
      const { hypervisor } = lab.machine.heki;
      if (hypervisor === undefined) return lab.notExpressible('there is no hypervisor to ask for pins');
      const { registers } = lab.machine.vcpus[1] ?? lab.notExpressible('there is one processor');
      lab.aims.register('CR4.SMEP of a processor in long mode', () =>
        (registers.efer & EFER.LMA) !== 0n && (registers.cr4 & CR4.SMEP) === 0n ? 0n : 1n,
      );
      const { cr0, cr3, cr4, efer } = lab.machine.kernel.vcpu.registers;
      return { hypervisor, kernels: { cr0, cr3, cr4, efer }, started: { once: false } };
    },
    work: (lab, { hypervisor }) => void lab.request('lock CR0 and CR4', () => hypervisor.lockCrs()),
    turn(lab, found) {
      if (found.started.once) return;
      found.started.once = true;
      lab.init();
      toLongMode(lab, found.kernels);
    },
    // The monitor of another domain may have been busy.
    after: (lab, { kernels }) => toLongMode(lab, kernels),
  }),
];
