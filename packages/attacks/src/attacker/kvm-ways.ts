import type { LinuxMachine } from '@heki/machine';
import { hex } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { NotExpressible } from '../attack/not-expressible.ts';
import type { Lab } from './lab.ts';
import type { Recorder } from './recorder.ts';

/** What hypervisors of the KVM kind do for a guest, beside the contract. */
interface KvmWays {
  enterNested(vcpu: Vcpu, pointer: bigint, setup: { readonly host: { readonly cr4: bigint } }): boolean;
  leaveNested(vcpu: Vcpu): void;
  resumeFromSmm(vcpu: Vcpu, saved: { readonly cr4: bigint }): void;
  emulateMovToCr(vcpu: Vcpu, cr: 0 | 4, value: bigint): { readonly kind: string };
}

/** @throws {NotExpressible} when the hypervisor is none of these */
function kvmWays({ virtualMachine }: Pick<LinuxMachine, 'virtualMachine'>): KvmWays {
  if (!hasKvmWays(virtualMachine))
    throw new NotExpressible(
      'guests inside the guest, RSM and an emulator of MOV are modelled for KVM alone',
    );
  return virtualMachine;
}

function hasKvmWays(
  machine: LinuxMachine['virtualMachine'],
): machine is LinuxMachine['virtualMachine'] & KvmWays {
  return ['enterNested', 'leaveNested', 'resumeFromSmm', 'emulateMovToCr'].every((way) => way in machine);
}

/**
 * A guest of the attacker's, and the emulator, where the hypervisor is KVM.
 *
 * @param tables makes tables for a guest inside the guest: EPTP or nCR3
 */
export function createKvmWays(options: {
  readonly machine: Pick<LinuxMachine, 'virtualMachine'>;
  readonly vcpu: Vcpu;
  readonly recorder: Recorder;
  readonly tables: () => bigint;
}): Pick<Lab, 'nestedGuest' | 'resumeFromSmm' | 'emulatedMovToCr'> {
  const { machine, vcpu, recorder, tables } = options;
  return {
    nestedGuest(act, exitLoads = vcpu.registers) {
      const ways = kvmWays(machine);
      const { cr4 } = exitLoads;
      const pointer = tables();
      recorder.asks(`VM entry to a nested guest, whose exit loads CR4 ${hex(cr4)}`, () => {
        if (!ways.enterNested(vcpu, pointer, { host: { cr4 } })) return 'the hypervisor enters no such guest';
        act();
        ways.leaveNested(vcpu);
        return undefined;
      });
    },
    resumeFromSmm(saved) {
      const ways = kvmWays(machine);
      recorder.asks(`RSM with CR4 ${hex(saved.cr4)} in the state save area`, () => {
        ways.resumeFromSmm(vcpu, saved);
        return vcpu.halted === undefined ? undefined : 'the processor shuts down';
      });
    },
    emulatedMovToCr(cr, value) {
      const ways = kvmWays(machine);
      recorder.asks(`the hypervisor emulates mov ${hex(value)} to cr${cr}`, () =>
        ways.emulateMovToCr(vcpu, cr, value).kind === 'exception' ? 'it raises an exception' : undefined,
      );
    },
  };
}
