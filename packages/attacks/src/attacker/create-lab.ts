import type { KernelOutcome } from '@heki/linux';
import type { Attacker, RanCode } from '@heki/machine';
import { addressOf, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import { NotExpressible } from '../attack/not-expressible.ts';
import { createAims } from '../judge/aims.ts';
import { placesIn } from '../kernel/places.ts';
import type { BootedMachine } from '../machines/boot-machine.ts';
import { createKvmWays } from './kvm-ways.ts';
import type { Lab } from './lab.ts';
import { nestedTables } from './nested-tables.ts';
import { createPageTableSteps } from './page-table-steps.ts';
import { createRecorder, type LabStep } from './recorder.ts';
import { createUserMapping } from './user-mapping.ts';
import { createVmm } from './vmm.ts';

/** What a judge reads after an attack. */
export interface LabRecord {
  readonly lab: Lab;
  readonly steps: readonly LabStep[];
  /** What was reached of what the attack was after. */
  evidence(): string[];
  /** Whether the kernel still does its work. */
  lives(): boolean;
  /** Aims that the attack has named. */
  readonly named: number;
  sync(): void;
}

/** The kernel's own work did not go: an attack that builds upon it says nothing. */
class PreparationFailed extends NotExpressible {}

/** An attacker's means on a machine that has booted, and a record of their use. */
export function createLab({ machine, incidents, regions, before, moduleFile }: BootedMachine): LabRecord {
  const { kernel, virtualMachine, heki } = machine;
  const places = placesIn(machine);
  const ran: RanCode[] = [];
  const attackerOn = (vcpu = kernel.vcpu): Attacker => {
    const attacker = machine.attackerOn(vcpu);
    return {
      ...attacker,
      run(va) {
        const attempt = attacker.run(va);
        if (attempt.value !== undefined) ran.push(attempt.value);
        return attempt;
      },
    };
  };
  const cpu = attackerOn();
  const second = attackerOn(machine.vcpus[1]);
  const recorder = createRecorder(() => [cpu, second]);
  const judge = machine.attackerOn();
  const call = (va: VirtualAddress): bigint | undefined => {
    const { value } = judge.run(va);
    return value?.end === 'returned' ? value.rax : undefined;
  };
  const { hijacked } = recorder;
  const observed = createAims({
    tables: () => ({ memory: machine.memory, root: kernel.pageTableRoot, levels: kernel.layout.levels }),
    ran,
    incidents,
    hijacked,
    call,
  });
  const directMap = BigInt.asUintN(64, virtualAddressOf(kernel.layout.directMap));
  const prepared = <Value>(what: string, outcome: KernelOutcome<Value>): Value => {
    if (outcome.kind === 'done') return outcome.value;
    const why = outcome.kind === 'error' ? `${outcome.errno}: ${outcome.why}` : outcome.kind;
    throw new PreparationFailed(`the kernel cannot ${what} here: ${why}`);
  };

  const page = (): VirtualAddress => prepared('allocate a page', kernel.vmalloc(1)).address;
  const steps = createPageTableSteps({ cpu, directMap, page });
  const { direct } = steps;

  const lab: Lab = {
    machine,
    aims: observed.aims,
    cpu,
    second,
    places,
    prepare: (what, work) => prepared(what, work(kernel)),
    call: (what, work) => recorder.kernel(what, () => work(kernel)),
    request: (what, make) => recorder.request(what, make),
    page,
    registers: kernel.vcpu.registers,
    ...steps,
    userMapping: createUserMapping({
      cpu,
      directMap: direct,
      allocate: () => prepared('allocate a page', kernel.allocatePages()),
      root: kernel.pageTableRoot,
      levels: kernel.layout.levels,
    }),
    sendList(words, gpaOf = (list) => list) {
      const { hypervisor } = heki;
      if (hypervisor === undefined) throw new NotExpressible('there is no hypervisor to ask');
      const frame = prepared('allocate a page', kernel.allocatePages());
      for (const [index, word] of words.entries()) cpu.store(direct(frame, 8 * index), 8, word);
      return recorder.request('vmcall with a page list of the attacker', () =>
        hypervisor.protectMemory(gpaOf(addressOf(frame))),
      );
    },
    secureKernel() {
      if (heki.secureKernel === undefined) throw new NotExpressible('there is no secure kernel to ask');
      return heki.secureKernel;
    },
    moduleFile(image) {
      if (moduleFile === undefined) throw new NotExpressible('nobody wants the file of a module');
      return moduleFile(image);
    },
    dma: (gpa, bytes) => recorder.store('a device', gpa, () => virtualMachine.write('dma', gpa, bytes)),
    hypervisorStore: (gpa, bytes) =>
      recorder.store('the hypervisor', gpa, () => virtualMachine.write('hypervisor', gpa, bytes)),
    vmm: createVmm({ machine, recorder, regions, before }),
    init: () =>
      recorder.does('INIT for the second processor', () =>
        virtualMachine.lifeCycle({ kind: 'init', vcpu: 1 }),
      ),
    ...createKvmWays({
      machine,
      vcpu: kernel.vcpu,
      recorder,
      tables: () =>
        nestedTables({
          cpu,
          directMap: direct,
          allocate: () => prepared('allocate a page', kernel.allocatePages()),
          amd: kernel.vcpu.processor.vendor === 'amd',
        }),
    }),
    notExpressible(why) {
      throw new NotExpressible(why);
    },
  };
  return {
    lab,
    steps: recorder.steps,
    evidence: observed.evidence,
    get named() {
      return observed.named;
    },
    sync: recorder.sync,
    lives() {
      if (kernel.vcpu.halted !== undefined) return false;
      const { credentials, alive } = places;
      const { value } = judge.load(credentials, 8);
      return (
        value !== undefined &&
        judge.store(credentials, 8, value).step.outcome === 'done' &&
        call(alive) !== undefined
      );
    },
  };
}
