import type { RanCode } from '@heki/machine';
import { addressOf, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import { NotExpressible } from '../attack/not-expressible.ts';
import type { SnapshotMachine } from '../machines/boot-snapshot.ts';
import { createKvmWays } from './kvm-ways.ts';
import type { Lab } from './lab.ts';
import { nestedTables } from './nested-tables.ts';
import { createObserver, type LabRecord, noteRuns } from './observer.ts';
import { createPageTableSteps } from './page-table-steps.ts';
import { createRecorder } from './recorder.ts';
import { createUserMapping } from './user-mapping.ts';

/**
 * An attacker's means in the kernel of a snapshot: instructions on one processor, requests to the hypervisor, and what comes from outside. What only a
 * kernel that lives can do is not expressible.
 */
export function createSnapshotLab({ snapshot, machine, places, incidents }: SnapshotMachine): LabRecord {
  const { virtualMachine, heki, vcpu, memory } = machine;
  const { kernel } = snapshot;
  const ran: RanCode[] = [];
  const cpu = noteRuns(machine.attacker(), ran);
  const recorder = createRecorder(() => [cpu]);
  const observer = createObserver({
    judge: machine.attacker(),
    vcpu,
    runsKernel: () => true,
    places,
    recorder,
    tables: () => ({ memory, root: kernel.root, levels: kernel.levels }),
    ran,
    incidents,
  });
  const living = (what: string): never => {
    throw new NotExpressible(`a kernel that lives is needed: ${what}`);
  };
  let taken = 0;
  const page = (): VirtualAddress => {
    const next = places.pages[taken++];
    return next ?? living('no other page of data is mapped alone in the snapshot');
  };
  const directMap = BigInt.asUintN(64, virtualAddressOf(kernel.directMap.start));
  const steps = createPageTableSteps({ cpu, directMap, page });

  const lab: Lab = {
    ...steps,
    aims: observer.aims,
    cpu,
    get second() {
      return living('the snapshot is of one processor');
    },
    registers: vcpu.registers,
    places,
    get machine() {
      return living('functions and state of it');
    },
    prepare: (what) => living(what),
    call: (what) => living(what),
    request: (what) => living(what),
    page,
    userMapping: createUserMapping({
      cpu,
      directMap: steps.direct,
      allocate: () => steps.frameOf(page()),
      root: kernel.root,
      levels: kernel.levels,
    }),
    sendList(words, gpaOf = (list) => list) {
      const { hypervisor } = heki;
      if (hypervisor === undefined) throw new NotExpressible('there is no hypervisor to ask');
      const list = page();
      for (const [index, word] of words.entries())
        cpu.store((list + BigInt(8 * index)) as VirtualAddress, 8, word);
      const gpa = gpaOf(addressOf(steps.frameOf(list)));
      return recorder.request('vmcall with a page list of the attacker', () => hypervisor.protectMemory(gpa));
    },
    moduleFile: () => living('an owner of its code'),
    secureKernel: () => living('a secure kernel that knows its modules'),
    dma: (gpa, bytes) => recorder.store('a device', gpa, () => virtualMachine.write('dma', gpa, bytes)),
    hypervisorStore: (gpa, bytes) =>
      recorder.store('the hypervisor', gpa, () => virtualMachine.write('hypervisor', gpa, bytes)),
    vmm: {
      write: (gpa, bytes) => recorder.store('the VMM', gpa, () => virtualMachine.write('vmm', gpa, bytes)),
      mapAgain: () => living('the VMM that gave it memory'),
      recreate: () => living('the VMM that gave it memory'),
      replaceFrame: () => living('the VMM that gave it memory'),
      rollBack: () => living('what was enforced before it booted'),
    },
    init: () => living('the snapshot is of one processor'),
    ...createKvmWays({
      machine,
      vcpu,
      recorder,
      tables: () =>
        nestedTables({
          cpu,
          directMap: steps.direct,
          allocate: () => steps.frameOf(page()),
          amd: vcpu.processor.vendor === 'amd',
        }),
    }),
    notExpressible(why) {
      throw new NotExpressible(why);
    },
  };
  return observer.record(lab);
}
