import type { KernelOutcome } from '@heki/linux';
import type { RanCode } from '@heki/machine';
import { addressOf, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import { NotExpressible } from '../attack/not-expressible.ts';
import { placesIn } from '../kernel/places.ts';
import type { BootedMachine } from '../machines/boot-machine.ts';
import { createKvmWays } from './kvm-ways.ts';
import type { Lab } from './lab.ts';
import { nestedTables } from './nested-tables.ts';
import { createObserver, type LabRecord, noteRuns } from './observer.ts';
import { createPageTableSteps } from './page-table-steps.ts';
import { createRecorder } from './recorder.ts';
import { createUserMapping } from './user-mapping.ts';
import { createVmm } from './vmm.ts';

/** The kernel's own work did not go: an attack that builds upon it says nothing. */
class PreparationFailed extends NotExpressible {}

/** An attacker's means on a machine that has booted, and a record of their use. */
export function createLab({ machine, incidents, regions, before, moduleFile }: BootedMachine): LabRecord {
  const { kernel, virtualMachine, heki } = machine;
  const places = placesIn(machine);
  const ran: RanCode[] = [];
  const cpu = noteRuns(machine.attackerOn(), ran);
  const second = noteRuns(machine.attackerOn(machine.vcpus[1]), ran);
  const recorder = createRecorder(() => [cpu, second]);
  const observer = createObserver({
    judge: machine.attackerOn(),
    vcpu: kernel.vcpu,
    runsKernel: () => kernel.onlineCpus.includes(0),
    places,
    recorder,
    tables: () => ({ memory: machine.memory, root: kernel.pageTableRoot, levels: kernel.layout.levels }),
    ran,
    incidents,
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
    aims: observer.aims,
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
      if (moduleFile === undefined) throw new NotExpressible('no owner of code wants the file of a module');
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
  return observer.record(lab);
}
